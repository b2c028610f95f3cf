//! The statistics that gates rest on, each a pure function of numbers.
//!
//! | what | where | for |
//! |---|---|---|
//! | anytime-valid e-value of two counts | [`counts`] | count-ratio gates, looked at continuously |
//! | dispersion of counts, block by block | [`dispersion`] | what evidence of counts is divided by |
//! | Mann-Whitney U, A12, Hodges-Lehmann | [`ranks`] | sample gates, looked at once a tier |
//! | burn rate of an error budget | [`burn`] | burn-rate gates |
//! | count, mean, percentiles | [`Summary`] | what people read |

pub mod burn;
pub mod counts;
pub mod dispersion;
pub mod ranks;
mod summary;

pub use summary::Summary;

#[cfg(test)]
mod oracles;
