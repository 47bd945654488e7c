/// Finds the place of an id in a sorted list of ids without repeats.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    ids: Vec<i64>,
    /// The place of every id from the first to the last, where that table stays small.
    table: Vec<u32>,
}

/// What the table holds for an id that is not in the list.
const ABSENT: u32 = u32::MAX;

impl Lookup {
    /// `ids` must be sorted, without repeats, and fewer than 2^32.
    pub(super) fn new(ids: Vec<i64>) -> Lookup {
        let mut table = Vec::new();
        if let (Some(&first), Some(&last)) = (ids.first(), ids.last()) {
            // Ids come from files. COCO's images are numbered up to 600,000, which 4 MiB cover.
            let most = 16 * ids.len() as u64 + (1 << 20);
            let span = last.abs_diff(first);
            if span < most {
                table.resize(span as usize + 1, ABSENT);
                for (place, id) in ids.iter().enumerate() {
                    table[id.abs_diff(first) as usize] = place as u32;
                }
            }
        }
        Lookup { ids, table }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, id: i64) -> Option<u32> {
        if self.table.is_empty() {
            return self.ids.binary_search(&id).ok().map(|place| place as u32);
        }
        let offset = id.checked_sub(*self.ids.first()?)?;
        let place = *self.table.get(usize::try_from(offset).ok()?)?;
        (place != ABSENT).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far_ids_are_found() {
        for ids in [vec![], vec![7], vec![-3, 0, 4, 90], vec![i64::MIN, -1, 5, i64::MAX]] {
            let lookup = Lookup::new(ids.clone());
            assert_eq!(lookup.len(), ids.len());
            for (place, id) in ids.iter().enumerate() {
                assert_eq!(lookup.find(*id), Some(place as u32));
            }
            for absent in [-4, 1, 6, 91, i64::MIN + 1, i64::MAX - 1] {
                assert_eq!(lookup.find(absent), None, "{absent} in {ids:?}");
            }
        }
    }
}
