-- What a controller of migration 0001 left (its times to come moved to 2099, its token left out); see test_old_database.py.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE aliases (
	model VARCHAR NOT NULL, 
	alias VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	moved_at DATETIME NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (model, alias), 
	FOREIGN KEY(model) REFERENCES models (name)
);
INSERT INTO "aliases" VALUES('tiny','champion',2,'2026-11-20 11:18:26.120636','version 2 of tiny is registered and in use in place of version 1');
CREATE TABLE deployments (
	name VARCHAR NOT NULL, 
	spec TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE edges (
	name VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	added_at DATETIME NOT NULL, 
	generation INTEGER NOT NULL, 
	wanted TEXT NOT NULL, 
	signed TEXT NOT NULL, 
	online BOOLEAN NOT NULL, 
	session_id VARCHAR NOT NULL, 
	since DATETIME, 
	report TEXT, 
	reported_at DATETIME, 
	PRIMARY KEY (name)
);
INSERT INTO "edges" VALUES('press-1','{}','2026-11-20 11:18:23.182373',7,'{"v":1,"edge":"press-1","models":[],"pipelines":[],"runs":[]}','{"payload":"{\"v\":1,\"sent_at\":\"2026-11-20T11:18:28.049531Z\",\"edge\":\"press-1\",\"generation\":7,\"models\":[],\"pipelines\":[],\"runs\":[]}","key_id":"2d8ef733ad87b8dd","signature":"+xm/BHw/VUyBHaMkKJeCIECbLJ5bylXEI93F8GTV7jDI212ieAuGvMoFZGrEQXGCbmat2qQ+YdzEk/ftnv7lAg=="}',0,'2778c33b974874d8','2026-11-20 11:18:28.784264','{"v":1,"sent_at":"2026-11-20T11:18:28.075376Z","edge":"press-1","session_id":"2778c33b974874d8","generation":7,"agent_version":"0.1.0","started_at":"2026-11-20T11:18:23.506560Z","labels":{},"capabilities":{"executors":["process"],"cpus":2,"memory_bytes":25276510208,"gpus":0,"platform":"linux-x86_64","max_tasks":1},"models":[],"pipelines":[],"tasks":[],"disk_free_bytes":81947262976,"load":0.73486328125,"refused":""}','2026-11-20 11:18:28.076334');
CREATE TABLE jobs (
	name VARCHAR NOT NULL, 
	spec TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	anchor_at DATETIME NOT NULL, 
	next_fire_at DATETIME, 
	PRIMARY KEY (name)
);
INSERT INTO "jobs" VALUES('retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":false},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','2026-11-20 11:18:23.586482','2026-11-20 11:18:23.586482','2099-11-27 11:18:23.586482');
CREATE TABLE libraries (
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	spec TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name, version)
);
CREATE TABLE model_versions (
	model VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	run_id CHAR(32), 
	file_digest VARCHAR NOT NULL, 
	card TEXT NOT NULL, 
	card_blob TEXT NOT NULL, 
	PRIMARY KEY (model, version), 
	FOREIGN KEY(model) REFERENCES models (name), 
	UNIQUE (run_id)
);
INSERT INTO "model_versions" VALUES('tiny',1,'7fbd71fc0f6e4ddb94efe03f9df50ea2','sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf','{"v":1,"name":"tiny","version":1,"files":{"model.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}},"additional":{"tiny.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}},"signature":{"inputs":[{"name":"x","dtype":"tensor(float)","shape":["n",2]}],"outputs":[{"name":"y","dtype":"tensor(float)","shape":["n",2]}],"opset":17},"metrics":{"rows":3.0},"lineage":{"run_id":"7fbd71fc-0f6e-4ddb-94ef-e03f9df50ea2","attempt":1,"job":"retrain","edge":"press-1","data":[{"query":"SELECT id FROM readings","collection":"readings","after_position":0,"upto_position":3,"rows":3,"blob":{"digest":"sha256:fe8ee7fc0763c834a405bff94e1ef30cf8071ac61c7efe0eca81712a63b0bf99","size_bytes":33}}],"scripts":{"train.py":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}},"requirements":null,"executor":"process","image":"","image_digest":"","environment":"cdf56a14574ce6798027f60580ae0f65","base_version":null},"created_at":"2026-11-20T11:18:24.704995Z"}','{"digest":"sha256:d6362cb9bdac0119834ba75641fdebdf12b7691ec4ca3f76610006822d66ec90","size_bytes":1099}');
INSERT INTO "model_versions" VALUES('tiny',2,'a9288030783d4bb2a6ee150d0d6f22c8','sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf','{"v":1,"name":"tiny","version":2,"files":{"model.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}},"additional":{"tiny.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}},"signature":{"inputs":[{"name":"x","dtype":"tensor(float)","shape":["n",2]}],"outputs":[{"name":"y","dtype":"tensor(float)","shape":["n",2]}],"opset":17},"metrics":{"rows":3.0},"lineage":{"run_id":"a9288030-783d-4bb2-a6ee-150d0d6f22c8","attempt":1,"job":"retrain","edge":"press-1","data":[{"query":"SELECT id FROM readings","collection":"readings","after_position":3,"upto_position":6,"rows":3,"blob":{"digest":"sha256:b1427e15e4ffdcd4fe31143bd2a5840e02faff1e152e8d3c2bb8c1c7568f7385","size_bytes":33}}],"scripts":{"train.py":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}},"requirements":null,"executor":"process","image":"","image_digest":"","environment":"cdf56a14574ce6798027f60580ae0f65","base_version":1},"created_at":"2026-11-20T11:18:26.117993Z"}','{"digest":"sha256:7d6c28b633a79e83d1779dffa3392b253c41301d465634ca633767cc0c2b5728","size_bytes":1096}');
CREATE TABLE models (
	name VARCHAR NOT NULL, 
	description TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "models" VALUES('tiny','','2026-11-20 11:18:23.586482');
CREATE TABLE pipelines (
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	spec TEXT NOT NULL, 
	blob TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name, version)
);
CREATE TABLE runs (
	id CHAR(32) NOT NULL, 
	job VARCHAR NOT NULL, 
	spec TEXT NOT NULL, 
	"trigger" VARCHAR NOT NULL, 
	scheduled_at DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	revision INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	deadline DATETIME, 
	edge VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	last_sequence INTEGER NOT NULL, 
	data TEXT NOT NULL, 
	task TEXT, 
	base_version INTEGER, 
	started TEXT, 
	started_at DATETIME, 
	exited TEXT, 
	ended_at DATETIME, 
	version INTEGER, 
	PRIMARY KEY (id), 
	CONSTRAINT one_run_per_tick UNIQUE (job, scheduled_at)
);
INSERT INTO "runs" VALUES('7fbd71fc0f6e4ddb94efe03f9df50ea2','retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":false},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','manual','2026-11-20 11:18:24.145141','2026-11-20 11:18:24.145141',8,'succeeded','version 1 of tiny is registered and in use, the first of its kind',NULL,'press-1',1,4,'[{"query":"SELECT id FROM readings","collection":"readings","after_position":0,"upto_position":3,"rows":3,"blob":{"digest":"sha256:fe8ee7fc0763c834a405bff94e1ef30cf8071ac61c7efe0eca81712a63b0bf99","size_bytes":33}}]','{"digest":"sha256:12d79b1dea6dac04295af6ff13cf8f8946e70e9a2ce192dd4841a46e720dcd62","size_bytes":676}',NULL,'{"kind":"started","executor":"process","image":"","image_digest":"","environment":"cdf56a14574ce6798027f60580ae0f65","environment_cached":false}','2026-11-20 11:18:24.352779','{"kind":"exited","outcome":"ok","reason":"","exit_code":0,"script_s":0.01902775500093412,"outputs":{"model":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116},"metrics":{"rows":3.0},"additional":{"tiny.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}},"log":{"digest":"sha256:6473ec9f8048904982cc16b88f50f6eb0577bad0e88a30c2917b3589238596e3","size_bytes":10},"log_tail":["[0, 1, 2]"]}','2026-11-20 11:18:24.707203',1);
INSERT INTO "runs" VALUES('a9288030783d4bb2a6ee150d0d6f22c8','retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":false},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','manual','2026-11-20 11:18:25.713882','2026-11-20 11:18:25.713882',8,'succeeded','version 2 of tiny is registered and in use in place of version 1',NULL,'press-1',1,4,'[{"query":"SELECT id FROM readings","collection":"readings","after_position":3,"upto_position":6,"rows":3,"blob":{"digest":"sha256:b1427e15e4ffdcd4fe31143bd2a5840e02faff1e152e8d3c2bb8c1c7568f7385","size_bytes":33}}]','{"digest":"sha256:b10fa52085d9551940ca8fba20fd8b27b28a70fe55e10ab8bc8872695e9f7ba1","size_bytes":773}',1,'{"kind":"started","executor":"process","image":"","image_digest":"","environment":"cdf56a14574ce6798027f60580ae0f65","environment_cached":true}','2026-11-20 11:18:25.787848','{"kind":"exited","outcome":"ok","reason":"","exit_code":0,"script_s":0.018413996000163024,"outputs":{"model":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116},"metrics":{"rows":3.0},"additional":{"tiny.onnx":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}},"log":{"digest":"sha256:adce55b980a1203c58c69ff96966e4425b37e5d46fd5692ca3c768d4b44820c1","size_bytes":10},"log_tail":["[3, 4, 5]"]}','2026-11-20 11:18:26.120030',2);
INSERT INTO "runs" VALUES('a1446cf280884a84a124c721a0120fe3','retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":false},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','manual','2026-11-20 11:18:26.500383','2026-11-20 11:18:26.500383',1,'skipped','there were no new entries in collection readings since the last training',NULL,'press-1',0,0,'[]',NULL,NULL,NULL,NULL,NULL,'2026-11-20 11:18:26.510705',NULL);
INSERT INTO "runs" VALUES('e44a648d547c4484945f10ba18c64be9','retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":true},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','manual','2026-11-20 11:18:27.851570','2026-11-20 11:18:27.851570',7,'failed','train.py ended with exit code 3',NULL,'press-1',1,4,'[{"query":"SELECT id FROM readings","collection":"readings","after_position":6,"upto_position":8,"rows":2,"blob":{"digest":"sha256:13175ccfdc827ac8978516a273777fdb3fd349dbcf441f8ee2912c484cef184b","size_bytes":23}}]','{"digest":"sha256:71652512477e868d55ac85346a970a25ed4fca647a9c893aab673641138325bf","size_bytes":772}',2,'{"kind":"started","executor":"process","image":"","image_digest":"","environment":"cdf56a14574ce6798027f60580ae0f65","environment_cached":true}','2026-11-20 11:18:27.930024','{"kind":"exited","outcome":"script_failed","reason":"train.py ended with exit code 3","exit_code":3,"script_s":0.02021968600092805,"outputs":null,"log":{"digest":"sha256:1b447d195e3d639d0268335d5f415bda44115248dc5903b9feb1c77b62109f85","size_bytes":7},"log_tail":["[6, 7]"]}','2026-11-20 11:18:28.047192',NULL);
INSERT INTO "runs" VALUES('e7af132428344dd7ad1449abf3bf8686','retrain','{"name":"retrain","model":"tiny","edge":"press-1","scripts":[{"path":"train.py","blob":{"digest":"sha256:ecc97657fff57188b05334a56a42a7c129388a717f24da5fd3dd111cac7251c9","size_bytes":429}}],"requirements":null,"inputs":[{"path":"tiny.onnx","blob":{"digest":"sha256:46fa5905e53bd1ed51bc35881a08a23939467ebcba0cdb0ff3ad9d76da7e26bf","size_bytes":116}}],"base_model":null,"schedule":{"every":604800.0,"cron":null,"at":null,"timezone":"UTC"},"queries":[{"query":"SELECT id FROM readings","new_data_only":true,"collection":"readings"}],"metrics":[{"name":"rows","better":"higher"}],"params":{"fail":false},"image":null,"limits":{"timeout_s":300.0,"cpus":null,"memory_mb":null,"pids":512,"network":"none","output_mb":2048},"min_rows":1,"gate":{"policy":"auto_promote","metric":null,"tolerance":0.0},"max_attempts":3,"lost_after_s":3600.0,"paused":false}','manual','2026-11-20 11:18:31.022993','2026-11-20 11:18:31.022993',2,'queued','press-1 is offline since 2026-11-20 11:18:28 UTC','2099-11-27 11:18:31.022993','press-1',0,0,'[{"query":"SELECT id FROM readings","collection":"readings","after_position":6,"upto_position":8,"rows":2,"blob":{"digest":"sha256:13175ccfdc827ac8978516a273777fdb3fd349dbcf441f8ee2912c484cef184b","size_bytes":23}}]','{"digest":"sha256:2c132ca18860971f7a4937233ad5e5536113be1e0e096e785b0cab0884c3ce5e","size_bytes":773}',2,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tokens (
	digest VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (digest)
);
CREATE TABLE watermarks (
	job VARCHAR NOT NULL, 
	"query" INTEGER NOT NULL, 
	collection VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	PRIMARY KEY (job, "query", collection)
);
INSERT INTO "watermarks" VALUES('retrain',1,'readings',6);
CREATE INDEX ix_jobs_next_fire_at ON jobs (next_fire_at);
CREATE INDEX ix_runs_created_at ON runs (created_at);
CREATE INDEX ix_runs_edge ON runs (edge);
CREATE INDEX ix_runs_job ON runs (job);
CREATE INDEX ix_runs_state ON runs (state);
COMMIT;
