//! What stands on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
usage: dispatcher [--port PORT] [--folder PATH] [--data PATH] [--load SECONDS | --quiet]

  --port PORT      where to listen on 127.0.0.1; 0 picks a free one (default: 8080)
  --folder PATH    the *.rs and *.md files below it are served (default: this repository)
  --data PATH      keep records and jobs in this folder (default: in one that goes when the service does)
  --load SECONDS   ask all routes as fast as it goes for so long, say how fast that was, and serve on
  --quiet          no visitors; otherwise a few ask a hundred requests a second, so that there is something to see";

pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
    pub(crate) data: Option<PathBuf>,
    pub(crate) load: Option<Duration>,
    pub(crate) quiet: bool,
}

impl Options {
    /// `None` if help is asked for. An error is a line for the user.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into();
        let mut options = Options { port: 8080, folder: repository, data: None, load: None, quiet: false };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_default();
            match option.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--port") => options.port = number(&value(), "--port needs a number from 0 to 65535")?,
                Some("--folder") => options.folder = folder(value(), "--folder")?,
                Some("--data") => options.data = Some(folder(value(), "--data")?),
                Some("--quiet") => options.quiet = true,
                Some("--load") => {
                    let seconds: u32 = number(&value(), "--load needs a whole number of seconds")?;
                    options.load = Some(Duration::from_secs(seconds.into()));
                }
                _ => return Err(format!("{option:?} is no option; --help lists those there are")),
            }
        }
        if options.load.is_some() && options.quiet {
            return Err("--load asks and --quiet does not: give one of them".into());
        }
        Ok(Some(options))
    }
}

fn folder(value: OsString, option: &str) -> Result<PathBuf, String> {
    if value.is_empty() { Err(format!("{option} needs a folder, not nothing")) } else { Ok(value.into()) }
}

fn number<T: FromStr>(value: &OsString, needs: &str) -> Result<T, String> {
    value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("{needs}, not {value:?}"))
}
