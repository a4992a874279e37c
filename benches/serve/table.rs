//! The one table: what, how much, and what it should be.

/// A table that grows.
#[derive(Default)]
pub struct Table(Vec<[String; 4]>);

impl Table {
    /// A figure without a target.
    pub fn tell(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        self.0.push([what.into(), figure.into(), String::new(), String::new()]);
    }

    /// A figure that should be at most `target`, as `write` writes both.
    pub fn hold(&mut self, what: impl Into<String>, figure: f64, target: f64, write: impl Fn(f64) -> String) {
        let verdict = if figure <= target { "holds" } else { "SHORT" };
        self.0.push([what.into(), write(figure), format!("≤ {}", write(target)), verdict.to_owned()]);
    }

    /// A figure that should be at least `target`.
    pub fn reach(
        &mut self,
        what: impl Into<String>,
        figure: f64,
        target: f64,
        write: impl Fn(f64) -> String,
    ) {
        if target <= 0.0 {
            return self.tell(what, write(figure));
        }
        let verdict = if figure >= target { "holds" } else { "SHORT" };
        self.0.push([what.into(), write(figure), format!("≥ {}", write(target)), verdict.to_owned()]);
    }

    /// Prints it as Markdown.
    pub fn print(&self) {
        let head = ["", "measured", "target", ""].map(str::to_owned);
        let widths: Vec<usize> = (0..4)
            .map(|column| {
                self.0.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
            })
            .collect();
        let line = |row: &[String; 4]| {
            println!(
                "| {:<a$} | {:>b$} | {:>c$} | {:<d$} |",
                row[0],
                row[1],
                row[2],
                row[3],
                a = widths[0],
                b = widths[1],
                c = widths[2],
                d = widths[3]
            );
        };
        line(&head);
        println!(
            "|:{}-|-{}:|-{}:|:{}-|",
            "-".repeat(widths[0]),
            "-".repeat(widths[1]),
            "-".repeat(widths[2]),
            "-".repeat(widths[3])
        );
        self.0.iter().for_each(line);
    }
}

/// The middle of some figures.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

pub fn micros(value: f64) -> String {
    format!("{value:.1} µs")
}

pub fn millis(value: f64) -> String {
    format!("{value:.0} ms")
}

pub fn times(value: f64) -> String {
    format!("{value:.2} ×")
}

pub fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

pub fn mebibytes(value: f64) -> String {
    format!("{value:.1} MiB")
}
