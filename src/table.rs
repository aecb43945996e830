//! Columns and lengths of time for people.

/// Rows under a head, each column as wide as it must be. The first column is text, the others are numbers
/// or short words and stand to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |nth: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(nth))
            .map(|cell| cell.chars().count());
        cells.chain([head[nth].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(nth, (cell, width))| match nth {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A length of time as one says it: `340ms`, `12s`, `4m 05s`, `2h 10m`, `3d 4h`.
pub fn length(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0 if seconds < 1.0 => format!("{:.0}ms", seconds * 1000.0),
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [
            vec!["books".to_owned(), "12345".to_owned()],
            vec!["x".to_owned(), "7".to_owned()],
        ];
        assert_eq!(
            table(&["lane", "left"], &rows),
            "lane    left\nbooks  12345\nx          7\n"
        );
    }

    #[test]
    fn a_length_of_time_is_said_in_two_units_at_most() {
        let said = [0.34, 12.7, 245.0, 7800.0, 273_600.0].map(length);
        assert_eq!(said, ["340ms", "12s", "4m 05s", "2h 10m", "3d 4h"]);
    }
}
