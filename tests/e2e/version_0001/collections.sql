BEGIN TRANSACTION;
CREATE TABLE readings (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	created TEXT NOT NULL, 
	id INTEGER
);
INSERT INTO "readings" VALUES(1,'2026-11-20T11:18:23.871586+00:00',0);
INSERT INTO "readings" VALUES(2,'2026-11-20T11:18:23.871586+00:00',1);
INSERT INTO "readings" VALUES(3,'2026-11-20T11:18:23.871586+00:00',2);
INSERT INTO "readings" VALUES(4,'2026-11-20T11:18:25.449243+00:00',3);
INSERT INTO "readings" VALUES(5,'2026-11-20T11:18:25.449243+00:00',4);
INSERT INTO "readings" VALUES(6,'2026-11-20T11:18:25.449243+00:00',5);
INSERT INTO "readings" VALUES(7,'2026-11-20T11:18:27.290379+00:00',6);
INSERT INTO "readings" VALUES(8,'2026-11-20T11:18:27.290379+00:00',7);
CREATE TABLE tidemill$collections (
	name TEXT NOT NULL, 
	spec TEXT NOT NULL, 
	created TEXT NOT NULL, 
	rows INTEGER NOT NULL, 
	rejects INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "tidemill$collections" VALUES('readings','{"name":"readings","columns":{"id":"integer"},"required":[],"topics":[]}','2026-11-20T11:18:23.585698+00:00',8,0);
CREATE TABLE tidemill$rejects (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	collection TEXT NOT NULL, 
	at TEXT NOT NULL, 
	source TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	payload TEXT NOT NULL
);
CREATE TABLE tidemill$subscriptions (
	collection TEXT NOT NULL, 
	filter TEXT NOT NULL, 
	PRIMARY KEY (collection, filter)
);
CREATE INDEX tidemill$rejects_of_collection ON tidemill$rejects (collection, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('readings',8);
COMMIT;
