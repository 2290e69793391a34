//! The table.

use crate::load::Measured;

/// Rows in the order they were measured.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 7]>,
    figures: Vec<(String, String)>,
}

impl Table {
    /// A row of requests, with the original's rate and its p99 in milliseconds where they are known.
    pub fn row(&mut self, name: &str, measured: &Measured, original: Option<(f64, f64)>) {
        let ratio = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} x"));
        self.rows.push([
            name.to_owned(),
            format!("{:.0}", measured.rate),
            format!("{:.2}", measured.p50),
            format!("{:.2}", measured.p99),
            format!("{:.0}", measured.cpu),
            ratio(original.map(|(rate, _)| measured.rate / rate)),
            ratio(original.map(|(_, p99)| p99 / measured.p99)),
        ]);
        eprintln!("{name}: {:.0} /s, p99 {:.2} ms", measured.rate, measured.p99);
    }

    /// A single figure.
    pub fn figure(&mut self, name: &str, value: String) {
        eprintln!("{name}: {value}");
        self.figures.push((name.to_owned(), value));
    }

    /// Prints it as markdown.
    pub fn print(&self, connections: usize) {
        println!("\n{connections} connections, load generator and PostgreSQL on the same machine\n");
        println!("| request | req/s | p50 ms | p99 ms | server CPU µs | original's rate | original's p99 |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!("\n| figure | value |\n| --- | --- |");
        for (name, value) in &self.figures {
            println!("| {name} | {value} |");
        }
    }
}
