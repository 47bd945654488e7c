use std::path::Path;
use super::{Options, Progress, Report, Source};
use crate::error::Result;
/// x
pub fn yolo(_s: impl AsRef<Path>, _x: &[Source], _o: &Options, _p: impl FnMut(Progress)) -> Result<Report> { todo!() }
