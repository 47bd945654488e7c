//! A survey as text.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::sizes::Spread;
use super::{Class, Decoders, Survey};
use crate::set::write_faults;

/// A line for each thing, and one for each group of a histogram.
impl Display for Survey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "images        {}, {} bytes", self.images, self.bytes)?;
        write!(f, "classes       {}", self.classes)?;
        for (what, class) in [("smallest", &self.smallest_class), ("largest", &self.largest_class)] {
            if let Some(Class { name, images }) = class {
                write!(f, ", {what} {name} ({images})")?;
            }
        }
        writeln!(f)?;
        if let Some(sizes) = &self.sizes {
            writeln!(f, "width         {}", sizes.width)?;
            writeln!(f, "height        {}", sizes.height)?;
        }
        counts(f, "formats", &self.formats)?;
        let grey = 100.0 * self.grey as f64 / self.formats.values().sum::<usize>().max(1) as f64;
        writeln!(f, "grey          {} ({grey:.1} %)", self.grey)?;
        writeln!(f, "rotated       {} by EXIF", self.rotated)?;
        self.write_qualities(f)?;
        counts(f, "subsampling", &self.subsamplings)?;
        counts(f, "process", &self.processes)?;
        write!(f, "{}", self.decoders)?;
        match (&self.pixels, &self.pixels_left_out) {
            (Some(pixels), _) => {
                let [mean, deviation] = [pixels.mean, pixels.deviation]
                    .map(|values| values.map(|value| format!("{value:.6}")).join(" "));
                writeln!(f, "pixel mean    {mean} (red, green, blue of {} pixels)", pixels.count)?;
                writeln!(f, "deviation     {deviation}")?;
            }
            (None, Some(reason)) => writeln!(f, "pixels        left out: {reason}")?,
            (None, None) => {}
        }
        self.write_faults(f)
    }
}

impl Survey {
    fn write_qualities(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let exact = self.qualities.iter().map(|(quality, count)| format!("{quality}: {count}"));
        let nearest =
            self.nearest_qualities.iter().map(|(quality, count)| format!("about {quality}: {count}"));
        let none = (self.no_quality > 0).then(|| format!("none: {}", self.no_quality));
        let parts: Vec<String> = exact.chain(nearest).chain(none).collect();
        if parts.is_empty() { Ok(()) } else { writeln!(f, "JPEG quality  {}", parts.join(", ")) }
    }

    fn write_faults(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            return Ok(());
        }
        writeln!(f, "faults        {}", self.faults.len())?;
        write_faults(f, &self.faults)
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Spread { least, mean, median, largest } = self;
        write!(f, "{least} to {largest}, mean {mean:.1}, median {median}")
    }
}

/// A line for each decoder and reason.
impl Display for Decoders {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "decoders      engines: {}", self.engines)?;
        for (decoder, reasons) in [("CUDA", &self.cuda), ("host", &self.host)] {
            for (reason, count) in reasons {
                writeln!(f, "              {decoder}: {count} ({reason})")?;
            }
        }
        Ok(())
    }
}

fn counts(f: &mut Formatter<'_>, what: &str, counts: &BTreeMap<&'static str, usize>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    writeln!(f, "{what:13} {}", parts.join(", "))
}
