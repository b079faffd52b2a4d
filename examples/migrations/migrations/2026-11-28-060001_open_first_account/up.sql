INSERT INTO migrations_example_accounts VALUES ('the bank', 100);
