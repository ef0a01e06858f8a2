//! Figures side by side, as Markdown.

use std::collections::BTreeMap;

/// Figures of one system by row name.
pub type Figures = BTreeMap<String, u64>;

/// What stands beside each other, and what is compared.
pub struct Table<'a> {
    /// What the figures count.
    pub title: &'a str,
    /// Row names in [`Figures`], and what people read.
    pub rows: &'a [(&'a str, &'a str)],
    /// A column's heading and figures.
    pub columns: &'a [(&'a str, Figures)],
    /// Ratios of the second column to the first, by heading.
    pub compared: &'a [(&'a str, &'a str)],
}

impl Table<'_> {
    /// The Markdown.
    pub fn render(&self) -> String {
        let present = |name: &str| self.columns.iter().any(|(column, _)| *column == name);
        let compared: Vec<_> = self
            .compared
            .iter()
            .filter(|(below, above)| present(below) && present(above))
            .collect();
        let mut text = format!("| {} |", self.title);
        for (name, _) in self.columns {
            text.push_str(&format!(" {name} |"));
        }
        for (below, above) in &compared {
            text.push_str(&format!(" {above}/{below} |"));
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(self.columns.len() + compared.len()));
        text.push('\n');
        for (row, title) in self.rows {
            text.push_str(&format!("| {title} |"));
            for (_, figures) in self.columns {
                let cell = figures.get(*row).copied().map_or("-".into(), grouped);
                text.push_str(&format!(" {cell} |"));
            }
            for (below, above) in &compared {
                let cell = match (self.value(above, row), self.value(below, row)) {
                    (Some(above), Some(below)) if below > 0 => {
                        format!("{:.2}", above as f64 / below as f64)
                    }
                    _ => "-".into(),
                };
                text.push_str(&format!(" {cell} |"));
            }
            text.push('\n');
        }
        text
    }

    fn value(&self, column: &str, row: &str) -> Option<u64> {
        let (_, figures) = self.columns.iter().find(|(name, _)| *name == column)?;
        figures.get(row).copied()
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(123_456), "123,456");
    }

    #[test]
    fn ratios_are_to_native_and_to_xen() {
        let column = |ticks: u64| Figures::from([("signal".to_owned(), ticks)]);
        let table = Table {
            title: "operation",
            rows: &[("signal", "signal"), ("fork", "fork")],
            columns: &[
                ("native", column(100)),
                ("Xen 4.17", column(400)),
                ("Oxen", column(200)),
            ],
            compared: &[("native", "Oxen"), ("Xen 4.17", "Oxen"), ("none", "Oxen")],
        }
        .render();
        assert!(
            table
                .contains("| operation | native | Xen 4.17 | Oxen | Oxen/native | Oxen/Xen 4.17 |"),
            "{table}"
        );
        assert!(
            table.contains("| signal | 100 | 400 | 200 | 2.00 | 0.50 |"),
            "{table}"
        );
        assert!(table.contains("| fork | - | - | - | - | - |"), "{table}");
    }
}
