#!/bin/sh
# Run once by the PostgreSQL image: the role of the audit service owns the database and is no superuser.
set -eu
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password TRUNKLINE_POSTGRES_PASSWORD
SET log_min_error_statement = 'panic';
CREATE ROLE trunkline LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';
ALTER DATABASE trunkline OWNER TO trunkline;
REVOKE ALL ON DATABASE trunkline, postgres, template1 FROM PUBLIC;
SQL
