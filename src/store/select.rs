//! A statement with the conditions of one question: one that is not asked is left out, so that its index is used.
//!
//! `$1 IS NULL OR slug = $1` reads the whole table on both databases, for a plan is made before the value is known.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{Any, AssertSqlSafe, FromRow};

/// A statement in the making: what follows `WHERE` is joined by `AND`.
pub(super) struct Select<'a> {
    sql: String,
    values: Vec<&'a str>,
    limit: Option<i64>,
}

impl<'a> Select<'a> {
    /// `sql` ends with the first condition.
    pub(super) fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new(), limit: None }
    }

    /// Adds a condition in which `$?` is the value; without a value nothing is asked.
    pub(super) fn and(mut self, condition: &str, value: Option<&'a str>) -> Self {
        if let Some(value) = value {
            self.values.push(value);
            let place = format!("${}", self.values.len());
            self.sql.push_str(" AND ");
            self.sql.push_str(&condition.replace("$?", &place));
        }
        self
    }

    /// Adds what stands after all conditions.
    pub(super) fn order_by(mut self, columns: &str) -> Self {
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(columns);
        self
    }

    /// At most so many rows.
    pub(super) fn limit(mut self, rows: i64) -> Self {
        self.sql.push_str(&format!(" LIMIT ${}", self.values.len() + 1));
        self.limit = Some(rows);
        self
    }

    /// Its text is made of constants of this program alone.
    pub(super) fn query(self) -> Query<'a, Any, AnyArguments> {
        let query = self.values.into_iter().fold(sqlx::query(AssertSqlSafe(self.sql)), Query::bind);
        match self.limit {
            Some(rows) => query.bind(rows),
            None => query,
        }
    }

    /// The same, for rows of a type.
    pub(super) fn query_as<R: for<'r> FromRow<'r, AnyRow>>(self) -> QueryAs<'a, Any, R, AnyArguments> {
        let query = self.values.into_iter().fold(sqlx::query_as(AssertSqlSafe(self.sql)), QueryAs::bind);
        match self.limit {
            Some(rows) => query.bind(rows),
            None => query,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_conditions_with_a_value_are_asked() {
        let select = Select::new("SELECT 1 FROM t WHERE a = 0");
        let select = select.and("b = $?", None).and("c = $?", Some("x")).and("d IN ($?, $?)", Some("y"));
        let select = select.order_by("e").limit(5);
        assert_eq!(
            select.sql,
            "SELECT 1 FROM t WHERE a = 0 AND c = $1 AND d IN ($2, $2) ORDER BY e LIMIT $3"
        );
        assert_eq!(select.values, ["x", "y"]);
    }
}
