//! Builds a statement with only the conditions that have a value, so that the database can use their index. A plan for
//! `$1 IS NULL OR slug = $1` reads the whole table on both databases.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{Any, AssertSqlSafe, FromRow};

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

    /// `$?` in the condition is the value; without a value the condition is omitted.
    pub(super) fn and(mut self, condition: &str, value: Option<&'a str>) -> Self {
        if let Some(value) = value {
            self.values.push(value);
            let parameter = format!("${}", self.values.len());
            self.sql.push_str(" AND ");
            self.sql.push_str(&condition.replace("$?", &parameter));
        }
        self
    }

    pub(super) fn order_by(mut self, columns: &str) -> Self {
        self.sql.push_str(" ORDER BY ");
        self.sql.push_str(columns);
        self
    }

    pub(super) fn limit(mut self, rows: i64) -> Self {
        self.sql.push_str(&format!(" LIMIT ${}", self.values.len() + 1));
        self.limit = Some(rows);
        self
    }

    /// Safe because the text consists of constants of this program.
    pub(super) fn query(self) -> Query<'a, Any, AnyArguments> {
        let query = self.values.into_iter().fold(sqlx::query(AssertSqlSafe(self.sql)), Query::bind);
        match self.limit {
            Some(rows) => query.bind(rows),
            None => query,
        }
    }

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
    fn conditions_without_a_value_are_omitted() {
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
