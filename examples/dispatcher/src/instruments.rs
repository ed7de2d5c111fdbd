//! All that a service needs to show where its memory goes: a layer, the debug endpoints, and its own figures.
//!
//! Built without the feature `instruments`, for a comparison, none of it is there.

use crate::app::App;
use axum::Router;
use std::sync::Arc;

/// Each of these routes has its tag and its statistics, and the dashboard stands beside them.
#[cfg(feature = "instruments")]
pub(crate) fn around(routes: Router, app: &Arc<App>) -> Router {
    use crate::events::Counters;
    use tenure::http::{Endpoints, Figures, Routes};

    let (by_route, app) = (Routes::new(), app.clone());
    let counters = Counters::connect(&app);
    let figures = move |figures: &mut Figures| {
        for (name, help, value) in crate::figures::gauges(&app) {
            figures.gauge(name, help, value);
        }
        for (name, help, value) in crate::figures::counters(&app, &counters) {
            figures.counter(name, help, value);
        }
    };
    let endpoints = Endpoints::new().routes(&by_route).figures(figures).link("Leak lab", "/");
    // The endpoints are merged behind the layer: they are not counted among the service's own routes.
    routes.layer(tenure::http::axum::layer(&by_route)).merge(tenure::http::axum::router(endpoints))
}

#[cfg(not(feature = "instruments"))]
pub(crate) fn around(routes: Router, _: &Arc<App>) -> Router {
    routes
}

/// What to open in a browser.
pub(crate) const PAGE: &str = if cfg!(feature = "instruments") { "/debug/tenure/" } else { "/" };

/// What was built at the start is nobody's leak.
pub(crate) fn started() {
    #[cfg(feature = "instruments")]
    tenure::generation::freeze();
}
