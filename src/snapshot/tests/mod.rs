mod estimates;
mod queries;
