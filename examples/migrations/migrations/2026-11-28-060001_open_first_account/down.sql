DELETE FROM migrations_example_accounts WHERE owner = 'the bank';
