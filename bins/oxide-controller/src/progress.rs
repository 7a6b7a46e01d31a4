//! What a person who waits is told: a line for each thing that happens, on standard error.

use clowder_oxide::{Event, ImageProgress, Progress};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use tracing_subscriber::EnvFilter;

/// An import is told of each time it has come so much further, in per cent.
const EVERY: u64 = 10;

/// Has lines go to standard error: what happens, why (1), every call (2). RUST_LOG goes before that.
pub(crate) fn init(verbose: u8) {
    let default = match verbose {
        0 => "warn,kube_client=off,oxide_controller=info",
        1 => "warn,kube_client=off,oxide_controller=debug",
        _ => "info,oxide_controller=debug,clowder_oxide=debug,oxide=debug,kube_client=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    lines.with_ansi(ansi).with_target(verbose > 1).init();
}

/// Tells what the reconcile does.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// How far each import was when it was last told of, in per cent.
    imports: Mutex<BTreeMap<String, u64>>,
}

impl Progress for Lines {
    fn tell(&self, event: &Event) {
        match event {
            Event::Image(progress) => {
                if self.is_further(progress) {
                    tracing::info!("{event}");
                }
            }
            Event::Failed { .. } | Event::Problem(_) => tracing::warn!("{event}"),
            Event::Doing(_) => tracing::debug!("{event}"),
            _ => tracing::info!("{event}"),
        }
    }
}

impl Lines {
    fn is_further(&self, progress: &ImageProgress) -> bool {
        let percent = progress.done.saturating_mul(100).checked_div(progress.total).unwrap_or(100);
        let step = percent / EVERY * EVERY;
        let mut imports = self.imports.lock().unwrap_or_else(PoisonError::into_inner);
        imports.insert(progress.image.clone(), step) != Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_told_of_now_and_then() {
        let lines = Lines::default();
        let progress = |done| ImageProgress { image: "debian".to_owned(), done, total: 1000 };
        let told: Vec<u64> = (0..=1000).filter(|done| lines.is_further(&progress(*done))).collect();
        assert_eq!(told, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
    }
}
