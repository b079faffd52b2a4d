//! What lies behind the lanes: the title, the time, and when nobody was answered.

use std::fmt;

use super::palette::{OUTAGE_OPACITY, TROUBLE};
use super::{MARGIN, Picture, escaped, span};

/// No more ticks than have room.
const TICKS: f64 = 14.0;

const STEPS: [f64; 13] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

pub(super) fn title(picture: &Picture<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fact = |key: &str| picture.run.facts.get(key).map_or("?", String::as_str);
    let start = picture.from.saturating_sub(picture.run.from) as f64 / 1e9;
    writeln!(
        f,
        r##"<text x="{MARGIN}" y="28" font-size="17" font-weight="bold" fill="#222">{} of a run on {}</text>
<text x="{MARGIN}" y="46" fill="#666">seed {}, from {start:.3} s after the start: what each thread held (coloured), what it waited for (grey), and what was done to it (red)</text>"##,
        span(picture.seconds()),
        escaped(fact("server")),
        escaped(fact("seed")),
    )
}

pub(super) fn ticks(
    picture: &Picture<'_>,
    f: &mut fmt::Formatter<'_>,
    top: f64,
    bottom: f64,
) -> fmt::Result {
    let seconds = picture.seconds();
    let step = STEPS.into_iter().find(|step| seconds / step <= TICKS);
    let step = step.unwrap_or(60.0);
    let mut tick = 0.0;
    while tick <= seconds + 1e-9 {
        let x = picture.x(picture.from + (tick * 1e9) as u64);
        writeln!(
            f,
            r##"<line x1="{x:.1}" x2="{x:.1}" y1="{top:.1}" y2="{bottom:.1}" stroke="#f0f0f0"/>
<text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#888">{}</text>"##,
            bottom + 15.0,
            span(tick)
        )?;
        tick += step;
    }
    Ok(())
}

/// Two at once are no darker than one.
pub(super) fn outages(
    picture: &Picture<'_>,
    f: &mut fmt::Formatter<'_>,
    top: f64,
    bottom: f64,
) -> fmt::Result {
    let mut from = 0.0;
    for fault in picture.faults().filter(|fault| fault.kind.is_outage()) {
        let (begun, over) = (picture.x(fault.begun).max(from), picture.x(fault.end()));
        if over > begun {
            writeln!(
                f,
                r##"<rect x="{begun:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="{TROUBLE}" opacity="{OUTAGE_OPACITY}"/>"##,
                over - begun,
                bottom - top
            )?;
            from = over;
        }
    }
    Ok(())
}
