//! A browser without a window, told what to do over a pipe by its debugging protocol: a JSON message, then a null.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    profile: PathBuf,
    session: Option<String>,
    sent: u64,
    /// What it told without being asked.
    events: Vec<Value>,
}

impl Browser {
    /// Opens an address; `None`, and a line that says so, where there is no browser.
    pub(crate) fn open(address: &str) -> Option<Browser> {
        let runs = |program: &&str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
        let Some(program) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs) else {
            println!("skipped: the dashboard in a browser, because chromium is not installed");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let profile = env::temp_dir().join(format!("tenure-page-{}-{number}", std::process::id()));
        // It reads from 3 and writes to 4: the shell gives it its own input and output as these. A sandbox is not to be had by
        // root, nor in many containers.
        let line = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", line, program, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .args(["--window-size=1440,900", &format!("--user-data-dir={}", profile.display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (to, output) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let (found, from) = channel();
        spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("a message is JSON");
                if found.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Browser { child, to, from, profile, session: None, sent: 0, events: Vec::new() };
        let target = browser.tell("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.tell("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_string);
        for domain in ["Page", "Runtime", "Log"] {
            browser.tell(&format!("{domain}.enable"), json!({}));
        }
        browser.go(address);
        Some(browser)
    }

    /// A command, and what came of it.
    pub(crate) fn tell(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let mut answer = self.from.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("{method}: {why}"));
            if answer["id"] == self.sent {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    pub(crate) fn go(&mut self, address: &str) {
        self.tell("Page.navigate", json!({"url": address}));
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression, or of what it promises.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut result = self.tell("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is no text: {value}")).to_string()
    }

    pub(crate) fn holds(&mut self, condition: &str) -> bool {
        // While a page is loaded there may be nothing to ask.
        let parameters = json!({"expression": format!("Boolean({condition})"), "returnByValue": true});
        self.tell("Runtime.evaluate", parameters)["result"]["value"] == true
    }

    /// Waits until a condition holds.
    pub(crate) fn until(&mut self, condition: &str) {
        let start = Instant::now();
        while !self.holds(condition) {
            if start.elapsed() > PATIENCE {
                let shown = self.value("document.body?.innerText.slice(0, 3000)");
                panic!("never: {condition}\n{}\n{shown}", self.complaints().join("\n"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Clicks on the middle of an element, as a mouse does.
    pub(crate) fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        );
        let at = self.value(&middle);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.tell("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses a key where the focus is.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut event = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code});
        if key == "Enter" {
            event["text"] = json!("\r");
        }
        self.tell("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        self.tell("Input.dispatchKeyEvent", event);
    }

    /// Whether the reader likes it dark.
    pub(crate) fn dark(&mut self, dark: bool) {
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.tell("Emulation.setEmulatedMedia", json!({"features": [scheme]}));
    }

    /// What the browser complained of: errors of scripts, what a policy refused, what was not found.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complaint = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => Some(parameters["exceptionDetails"].to_string()),
                Some("Log.entryAdded") => Some(parameters["entry"].to_string()),
                Some("Runtime.consoleAPICalled") if parameters["type"] != "log" => Some(parameters.to_string()),
                _ => None,
            }
        };
        self.events.iter().filter_map(complaint).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already. What it started ends with it: their pipes close.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // They may still write into it.
        let _ = fs::remove_dir_all(&self.profile);
    }
}
