PRAGMA journal_mode = WAL;
PRAGMA cache_size = -8000;
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, town TEXT, since INTEGER);
CREATE TABLE sale (id INTEGER PRIMARY KEY, customer INTEGER, price REAL, what TEXT, note BLOB);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows / 10)
INSERT INTO customer SELECT i, 'customer ' || i, 'town ' || (i * 7919 % 211), i % 40 + 1980 FROM n;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO sale SELECT i, i * 104729 % (:rows / 10) + 1, i * 31 % 1000 / 10.0, 'thing ' || (i * 17 % 1009), zeroblob(i % 300) FROM n;
CREATE INDEX sale_customer ON sale (customer, price);
CREATE INDEX sale_what ON sale (what);
SELECT town, count(*), round(sum(price), 2) FROM sale JOIN customer ON customer = customer.id GROUP BY town ORDER BY 3 DESC, 1 LIMIT 10;
SELECT what, count(*) c, group_concat(customer) FROM (SELECT * FROM sale WHERE customer % 97 = 3 ORDER BY id) GROUP BY what ORDER BY c DESC, what LIMIT 5;
UPDATE sale SET note = what || price WHERE id % 3 = 0;
DELETE FROM sale WHERE id % 5 = 0;
SELECT json_group_array(json_object('id', id, 'name', name, 'sales', (SELECT count(*) FROM sale WHERE customer = customer.id))) FROM customer WHERE id % 199 = 0;
SELECT a.town, count(DISTINCT b.what) FROM customer a JOIN sale b ON b.customer = a.id WHERE a.since > 2010 GROUP BY a.town ORDER BY 2 DESC, 1 LIMIT 10;
SELECT id, price, round(avg(price) OVER (PARTITION BY customer ORDER BY id ROWS 5 PRECEDING), 3) FROM sale WHERE customer < 20 ORDER BY customer, id LIMIT 50;
CREATE VIRTUAL TABLE text USING fts5 (body);
INSERT INTO text SELECT name || ' of ' || town || ' has bought ' || what FROM sale JOIN customer ON customer = customer.id LIMIT :rows / 4;
SELECT count(*) FROM text WHERE text MATCH 'town AND thing';
BEGIN; UPDATE sale SET price = price + 1; ROLLBACK;
SELECT round(total(price), 2), count(*), total(length(note)) FROM sale;
PRAGMA integrity_check;
VACUUM;
