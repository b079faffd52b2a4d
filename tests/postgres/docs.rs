//! What the cases read in the documentation: the golden values, and SQL.

const LOCK_NAMES: &str = include_str!("../../docs/lock-names.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// A row of the table of golden values in `docs/lock-names.md`.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) kind: String,
    pub(crate) object: String,
    pub(crate) types: Vec<String>,
    pub(crate) key: Vec<String>,
    pub(crate) scope: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) full_name: String,
    pub(crate) postgres_key: i64,
}

pub(crate) fn golden_values() -> Vec<Golden> {
    let (_, table) = LOCK_NAMES
        .split_once("<!-- golden values: begin -->")
        .expect("the table");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let golden: Vec<_> = rows.map(golden_value).collect();
    assert!(golden.len() > 100, "only {} rows", golden.len());
    golden
}

fn golden_value(line: &str) -> Golden {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [
        kind,
        object,
        types,
        key,
        scope,
        namespace,
        full_name,
        postgres_key,
    ] = cells[..]
    else {
        panic!("not eight cells: {line}");
    };
    let types = types.trim_matches('`').split(", ").map(str::to_owned);
    Golden {
        kind: kind.to_owned(),
        object: json(object).expect(line),
        types: types.collect(),
        key: json(key).unwrap_or_default(),
        scope: json(scope),
        namespace: json(namespace),
        full_name: json(full_name).expect(line),
        postgres_key: json(postgres_key).expect(line),
    }
}

/// The JSON in a code span. `None` if the cell is empty.
fn json<T: serde::de::DeserializeOwned>(cell: &str) -> Option<T> {
    let code = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(serde_json::from_str(code).expect(code))
}

/// The SQL block of `docs/lock-names.md` that starts with this text.
pub(crate) fn sql_of_lock_names(start: &str) -> &'static str {
    sql(LOCK_NAMES, start)
}

/// The SQL block of `docs/operations.md` that starts with this text.
pub(crate) fn sql_of_operations(start: &str) -> &'static str {
    sql(OPERATIONS, start)
}

fn sql(document: &'static str, start: &str) -> &'static str {
    document
        .split("```sql\n")
        .skip(1)
        .find(|block| block.starts_with(start))
        .and_then(|block| block.split_once("```"))
        .unwrap_or_else(|| panic!("no SQL starts with {start:?}"))
        .0
}
