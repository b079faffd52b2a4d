UPDATE migrations_example_accounts SET balance = balance / 2;
