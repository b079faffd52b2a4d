INSERT INTO accounts VALUES ('the bank', 100);
