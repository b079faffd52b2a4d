UPDATE accounts SET balance = balance * 2;
