-- For MariaDB, MySQL and PostgreSQL. The program assigns the ids, because these servers have no
-- common syntax for generated ones.
CREATE TABLE notifications (
    id BIGINT NOT NULL PRIMARY KEY,
    message VARCHAR(255) NOT NULL,
    sent BOOLEAN NOT NULL DEFAULT FALSE
);
