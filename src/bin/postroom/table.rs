//! Text in columns.

use crate::output::{Colour, Paint};

/// A table whose columns are as wide as their widest cell; the last one is not padded.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[(String, Option<Colour>); N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(|title| (title.to_owned(), Some(Colour::Dim)))],
        }
    }

    pub(crate) fn row(&mut self, cells: [(String, Option<Colour>); N]) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (column, (text, colour)) in row.iter().enumerate() {
                line.push_str(
                    &colour.map_or_else(|| text.clone(), |colour| paint.paint(colour, text)),
                );
                if column + 1 < N {
                    let padding = widths[column] - text.chars().count() + 2;
                    line.extend(std::iter::repeat_n(' ', padding));
                }
            }
            line.trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}
