-- For all servers.
CREATE TABLE migrations_example_accounts (owner VARCHAR(100) NOT NULL, balance BIGINT NOT NULL);
