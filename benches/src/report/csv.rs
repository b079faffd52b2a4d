//! For programs: a line for each number, as it was measured.

use anyhow::Result;
use csv::Writer;

use super::Illustrated;

pub(super) fn of(findings: &[Illustrated]) -> Result<Vec<u8>> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(["subject", "contender", "ours", "measure", "unit", "value"])?;
    for Illustrated { finding, .. } in findings {
        for row in &finding.rows {
            for (column, value) in finding.columns.iter().zip(&row.cells) {
                // What could not be measured stands there as empty.
                let value = value.map(|value| value.to_string()).unwrap_or_default();
                writer.write_record([
                    finding.id.as_str(),
                    row.name.as_str(),
                    if row.ours { "yes" } else { "no" },
                    column.name.as_str(),
                    column.unit,
                    value.as_str(),
                ])?;
            }
        }
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::lines;

    #[test]
    fn names_with_commas_and_missing_numbers_keep_their_places() {
        let finding = lines();
        let bytes = of(&[Illustrated { finding, svg: None }]).expect("to write to memory");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let records: Vec<_> = reader.records().collect::<Result<_, _>>().expect("a table");
        assert_eq!(records.len(), 6);
        assert_eq!(&records[0][1], "C client, \"prepared\"");
        assert_eq!(&records[0][5], "0.1");
        assert_eq!(&records[4][5], "");
    }
}
