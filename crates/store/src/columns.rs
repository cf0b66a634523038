//! From rows to records: typed column reads, and the queries that end in records.

use std::str::FromStr;

use api::clock::Time;
use serde::de::DeserializeOwned;
use sqlx::{
    Any, Executor, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::{Result, StoreError};

/// A statement with its values bound.
pub(crate) type Statement<'q> = Query<'q, Any, AnyArguments<'q>>;

/// Something that one row describes.
pub(crate) trait Record: Sized {
    /// Heroku's word for it.
    const RESOURCE: &'static str;

    /// Reads the row.
    fn read(columns: &Columns<'_>) -> Result<Self>;
}

/// The record a statement finds, if it finds one.
pub(crate) async fn optional<'q, 'e, R: Record>(
    executor: impl Executor<'e, Database = Any>,
    statement: Statement<'q>,
) -> Result<Option<R>>
where
    'q: 'e,
{
    let row = statement.fetch_optional(executor).await?;
    row.map(|row| R::read(&Columns::of::<R>(&row))).transpose()
}

/// The record a statement finds; `key` says what it was looking for.
pub(crate) async fn required<'q, 'e, R: Record>(
    executor: impl Executor<'e, Database = Any>,
    statement: Statement<'q>,
    key: impl ToString,
) -> Result<R>
where
    'q: 'e,
{
    optional(executor, statement)
        .await?
        .ok_or_else(|| StoreError::not_found(R::RESOURCE, &key))
}

/// All records a statement finds.
pub(crate) async fn list<'q, 'e, R: Record>(
    executor: impl Executor<'e, Database = Any>,
    statement: Statement<'q>,
) -> Result<Vec<R>>
where
    'q: 'e,
{
    let rows = statement.fetch_all(executor).await?;
    rows.iter()
        .map(|row| R::read(&Columns::of::<R>(row)))
        .collect()
}

/// A row seen as named, typed columns.
pub(crate) struct Columns<'r> {
    resource: &'static str,
    row: &'r AnyRow,
}

impl<'r> Columns<'r> {
    fn of<R: Record>(row: &'r AnyRow) -> Self {
        Self {
            resource: R::RESOURCE,
            row,
        }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String> {
        Ok(self.row.try_get(column)?)
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>> {
        Ok(self.row.try_get(column)?)
    }

    /// A number in whichever integer type the record keeps it.
    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let number: i64 = self.row.try_get(column)?;
        T::try_from(number).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn optional_number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>> {
        let number: Option<i64> = self.row.try_get(column)?;
        number
            .map(|number| T::try_from(number).map_err(|_| self.unreadable(column)))
            .transpose()
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.number::<i64>(column)? != 0)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Time> {
        self.number(column).map(Time::from_micros)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Time>> {
        Ok(self.optional_number(column)?.map(Time::from_micros))
    }

    /// An id, name or word.
    pub(crate) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T> {
        self.text(column)?
            .parse()
            .map_err(|_| self.unreadable(column))
    }

    pub(crate) fn optional_parsed<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|_| self.unreadable(column)))
            .transpose()
    }

    /// A list or map kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|_| self.unreadable(column))
    }

    pub(crate) fn optional_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>> {
        let text = self.optional_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.unreadable(column)))
            .transpose()
    }

    fn unreadable(&self, column: &'static str) -> StoreError {
        StoreError::Unreadable {
            resource: self.resource,
            column,
        }
    }
}

/// A size or count as the database's one number type.
pub(crate) fn to_number(value: u64, what: &'static str) -> Result<i64> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what })
}
