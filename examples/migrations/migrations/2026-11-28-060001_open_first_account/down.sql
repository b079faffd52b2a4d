DELETE FROM accounts WHERE owner = 'the bank';
