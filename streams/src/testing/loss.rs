//! Everything that a database holds, row by row, and rows put or taken away behind everybody's back: what
//! a crash of the engine does.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::{Key, Part, Store};

/// Rows by table and key.
pub type Rows = BTreeMap<(String, String), Value>;

/// All rows, by the database that they are in: `main`, or a context's own.
pub async fn by_database(store: &Store) -> BTreeMap<&'static str, Rows> {
    let mut found = BTreeMap::new();
    for room in store.each() {
        let mut rows = Rows::new();
        add(&room, &mut rows).await;
        found.insert(room.name(), rows);
    }
    found
}

/// All rows of a database.
pub async fn everything(store: &Store) -> Rows {
    let mut everything = Rows::new();
    for (_, mut rows) in by_database(store).await {
        everything.append(&mut rows);
    }
    everything
}

async fn add(room: &Store, everything: &mut Rows) {
    let mut info = room.db().query("INFO FOR DB").await.expect("the tables");
    let info: Option<Value> = info.take(0).expect("the tables");
    let tables = info.expect("the tables")["tables"]
        .as_object()
        .expect("tables by name")
        .clone();
    for (table, _) in tables {
        let mut rows = room
            .db()
            .query("SELECT *, record::id(id) AS row_key FROM type::table($table)")
            .bind(("table", table.clone()))
            .await
            .expect("a table's rows");
        let rows: surrealdb::types::Value = rows.take(0).expect("a table's rows");
        for row in rows.into_json_value().as_array_mut().into_iter().flatten() {
            let row = row.as_object_mut().expect("a row");
            row.remove("id");
            let key = row.remove("row_key").expect("a key");
            everything.insert((table.clone(), key.to_string()), Value::Object(row.clone()));
        }
    }
}

/// What turned one state of a database into another.
#[must_use]
pub fn changes(before: &Rows, after: &Rows) -> BTreeMap<(String, String), Option<Value>> {
    let gone = before
        .keys()
        .filter(|at| !after.contains_key(*at))
        .map(|at| (at.clone(), None));
    let new = after.iter().filter(|(at, row)| before.get(*at) != Some(*row));
    gone.chain(new.map(|(at, row)| (at.clone(), Some(row.clone()))))
        .collect()
}

/// Puts a row, or takes it away.
pub async fn set(store: &Store, (table, key): &(String, String), row: Option<&Value>) {
    let parts: Vec<Part> = serde_json::from_str(key).expect("a key of numbers and texts");
    // The name of a table lives as long as the program; tests make few.
    let key = Key::new(table.clone(), parts);
    let put = if row.is_some() {
        "CREATE $id CONTENT $row RETURN NONE;"
    } else {
        ""
    };
    store
        .at(&key.table, &key.parts)
        .query(format!("{{ DELETE $id RETURN NONE; {put} RETURN NONE; }}"))
        .bind(("id", key.record()))
        .bind(("row", row.cloned().unwrap_or_default()))
        .await
        .and_then(surrealdb::IndexedResults::check)
        .expect("a row put or taken away");
}
