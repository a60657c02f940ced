//! One trace, from the command line through the engine and the session down to each step on a host.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::collector::{Collector, Span};

const SERVICES: [&str; 3] = ["trestlectl", "engine-svc", "host-agent"];
/// Spans are sent in batches.
const LIMIT: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(200);

pub(crate) async fn is_one(collector: &Collector) -> Result<()> {
    let mut tick = tokio::time::interval(PERIOD);
    let search = async {
        loop {
            tick.tick().await;
            if let Some(spans) = collector.find(is_whole) {
                return spans;
            }
        }
    };
    let found = tokio::time::timeout(LIMIT, search).await;
    let spans = found.with_context(|| format!("no trace is whole; there are\n{}", collector.summary()))?;
    let step = spans.iter().find(|span| is_step(span)).context("no step")?;
    let path = path_to(step, &spans);
    let names: Vec<String> = path.iter().map(|span| format!("{} {}", span.service, span.name)).collect();
    println!("          {}", names.join("\n          "));
    for service in SERVICES {
        ensure!(path.iter().any(|span| span.service == service), "{service} is not on the way to the step");
    }
    Ok(())
}

/// Whether a trace has steps, and the ancestors of each reach back to the command line.
///
/// Spans come in batches, a step's own often before its ancestors': what is not whole yet may become so.
fn is_whole(spans: &[Span]) -> bool {
    let reaches_back = |step: &Span| {
        path_to(step, spans).first().is_some_and(|origin| origin.parent.is_empty() && origin.service == "trestlectl")
    };
    let mut steps = spans.iter().filter(|span| is_step(span)).peekable();
    steps.peek().is_some() && steps.all(reaches_back)
}

fn is_step(span: &Span) -> bool {
    span.service == "host-agent" && span.name.starts_with("step")
}

/// A span's known ancestors, the oldest first, and the span itself.
fn path_to(span: &Span, spans: &[Span]) -> Vec<Span> {
    let mut path = vec![span.clone()];
    while let Some(parent) = path.last().and_then(|last| spans.iter().find(|span| span.id == last.parent)) {
        path.push(parent.clone());
    }
    path.reverse();
    path
}
