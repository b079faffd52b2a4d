-- For all servers.
CREATE TABLE accounts (owner VARCHAR(100) NOT NULL, balance BIGINT NOT NULL);
