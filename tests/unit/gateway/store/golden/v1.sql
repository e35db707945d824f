-- A database of schema version 1 as the gateway wrote it: device d1 in boot 5 with two records and a loss, d2 gone.
BEGIN TRANSACTION;
CREATE TABLE boots (
  device    INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  boot      INTEGER NOT NULL,
  unix_time INTEGER NOT NULL,  -- when its monotonic clock was zero
  PRIMARY KEY (device, epoch, boot)
) STRICT, WITHOUT ROWID;
INSERT INTO "boots" VALUES(1,81985529216486895,5,1767225540000);
CREATE TABLE channels (
  device   INTEGER NOT NULL,
  hash     INTEGER NOT NULL,  -- of its table
  position INTEGER NOT NULL,
  name     TEXT NOT NULL,
  unit     TEXT NOT NULL,
  exponent INTEGER NOT NULL,
  min      INTEGER NOT NULL,
  max      INTEGER NOT NULL,
  PRIMARY KEY (device, hash, position)
) STRICT, WITHOUT ROWID;
INSERT INTO "channels" VALUES(1,377727196,0,'cpu','%',-2,0,10000);
INSERT INTO "channels" VALUES(1,377727196,1,'mem','By',3,0,0);
INSERT INTO "channels" VALUES(2,377727196,0,'cpu','%',-2,0,10000);
INSERT INTO "channels" VALUES(2,377727196,1,'mem','By',3,0,0);
CREATE TABLE devices (
  key          INTEGER PRIMARY KEY,
  id           TEXT NOT NULL UNIQUE,
  online       INTEGER NOT NULL,
  first_seen   INTEGER NOT NULL,
  firmware     TEXT NOT NULL,
  board        TEXT NOT NULL,
  boot         INTEGER NOT NULL,
  reset_reason INTEGER NOT NULL,
  dropped      INTEGER NOT NULL,  -- DeviceCounters
  refused      INTEGER NOT NULL,
  corrupt      INTEGER NOT NULL,
  missed       INTEGER NOT NULL
) STRICT;
INSERT INTO "devices" VALUES(1,'d1',1,1767225600000,'1.0.0','host',5,4,7,0,0,0);
INSERT INTO "devices" VALUES(2,'d2',0,1767225600000,'1.0.0','host',1,0,0,0,0,0);
CREATE TABLE latest (
  device INTEGER NOT NULL,
  hash   INTEGER NOT NULL,  -- of a table
  offset INTEGER NOT NULL,  -- its newest event
  PRIMARY KEY (device, hash)
) STRICT, WITHOUT ROWID;
INSERT INTO "latest" VALUES(1,377727196,4);
CREATE TABLE log (
  offset      INTEGER PRIMARY KEY AUTOINCREMENT,
  type        INTEGER NOT NULL,  -- EventType
  device      INTEGER NOT NULL,  -- devices.key
  received_at INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  count       INTEGER,  -- of a loss
  loss_reason INTEGER,  -- of a loss
  batch       BLOB      -- of telemetry
) STRICT;
INSERT INTO "log" VALUES(1,3,1,1767225600000,81985529216486895,0,NULL,NULL,X'');
INSERT INTO "log" VALUES(2,4,1,1767225600000,81985529216486895,0,NULL,NULL,X'');
INSERT INTO "log" VALUES(3,1,1,1767225600000,81985529216486895,1,NULL,NULL,X'0DDCA883161080D0EAB6B733280132028100');
INSERT INTO "log" VALUES(4,1,1,1767225600000,81985529216486895,2,NULL,NULL,X'0DDCA883161080D0EAB6B73328013203848400');
INSERT INTO "log" VALUES(5,2,1,1767225600000,81985529216486895,3,4,1,X'');
INSERT INTO "log" VALUES(6,3,2,1767225600000,81985529216486895,0,NULL,NULL,X'');
INSERT INTO "log" VALUES(7,4,2,1767225600000,81985529216486895,0,NULL,NULL,X'');
INSERT INTO "log" VALUES(8,5,2,1767225600000,81985529216486895,0,NULL,NULL,X'');
CREATE TABLE streams (
  key      INTEGER PRIMARY KEY,  -- ascending with age
  device   INTEGER NOT NULL,
  epoch    INTEGER NOT NULL,
  next_seq INTEGER NOT NULL,
  records  INTEGER NOT NULL,
  lost     INTEGER NOT NULL,
  UNIQUE (device, epoch)
) STRICT;
INSERT INTO "streams" VALUES(1,1,81985529216486895,7,2,4);
INSERT INTO "streams" VALUES(2,2,81985529216486895,1,0,0);
CREATE TABLE tables (
  device    INTEGER NOT NULL,
  hash      INTEGER NOT NULL,
  name      TEXT NOT NULL,
  period_ms INTEGER NOT NULL,
  durable   INTEGER NOT NULL,
  PRIMARY KEY (device, hash)
) STRICT, WITHOUT ROWID;
INSERT INTO "tables" VALUES(1,377727196,'system',1000,1);
INSERT INTO "tables" VALUES(2,377727196,'system',1000,1);
CREATE INDEX log_by_device ON log (device);
CREATE INDEX log_without_telemetry ON log (offset) WHERE type <> 1;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('log',8);
COMMIT;
PRAGMA application_id = 1195661140;
PRAGMA user_version = 1;
