-- What the router does for an app beyond routing (JSON, sealed; NULL: nothing).
ALTER TABLE apps ADD COLUMN edge TEXT;
