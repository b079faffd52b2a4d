//! CSV: a line for each number.

use anyhow::Result;
use csv::Writer;

use super::Section;

pub(super) fn of(findings: &[Section]) -> Result<Vec<u8>> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record([
        "benchmark",
        "competitor",
        "ours",
        "measure",
        "unit",
        "value",
    ])?;
    for Section { finding, .. } in findings {
        for row in &finding.rows {
            for (column, value) in finding.columns.iter().zip(&row.cells) {
                // A missing number is empty.
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
    fn quotes_and_missing_numbers_keep_their_columns() {
        let finding = lines();
        let bytes = of(&[Section { finding, svg: None }]).expect("a CSV table");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let records: Vec<_> = reader.records().collect::<Result<_, _>>().expect("a table");
        assert_eq!(records.len(), 6);
        assert_eq!(&records[0][1], "C client, \"prepared\"");
        assert_eq!(&records[0][5], "0.1");
        assert_eq!(&records[4][5], "");
    }
}
