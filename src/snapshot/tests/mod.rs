mod ages;
mod estimates;
mod queries;
