-- {"revision": "0005", "ann": "YW5vbjp4QUYwV2ItSkpGaGRKakZlcXAzZlBB.1803211200.p51BBIcKB6smeIEyMaXWc9YQO0UEgVc86z0n41dSvBY", "bob": "YW5vbjo5VDJlbnBHcWhvUUc5Mi1od0owaTR3.1803211200.mIMlEL0HqO9HRcI6jKsMr8wK1Mtw065aC4WqthXa9EE"}
BEGIN TRANSACTION;
CREATE TABLE account_state (
	account TEXT NOT NULL, 
	channel TEXT DEFAULT '' NOT NULL, 
	state TEXT DEFAULT '' NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	since BIGINT NOT NULL, 
	cursor TEXT DEFAULT '' NOT NULL, 
	last_in_at BIGINT, 
	last_out_at BIGINT, 
	last_poll_at BIGINT, 
	CONSTRAINT pk_account_state PRIMARY KEY (account)
);
INSERT INTO "account_state" VALUES('shop','acme','working','',1795435200000000,'',NULL,NULL,NULL);
INSERT INTO "account_state" VALUES('site','livechat','working','',1795435200000000,'',NULL,NULL,NULL);
CREATE TABLE address (
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	scope TEXT DEFAULT '' NOT NULL, 
	value TEXT NOT NULL, 
	contact_id TEXT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_address PRIMARY KEY (id), 
	CONSTRAINT uq_address_kind_scope_value UNIQUE (kind, scope, value)
)
 WITHOUT ROWID

;
INSERT INTO "address" VALUES('01a224c6-4507-7000-8a19-9f55cd45b291','visitor','site','anon:xAF0Wb-JJFhdJjFeqp3fPA','01a224c6-4507-7001-b892-0e99f27be75d','',1795435200000000);
INSERT INTO "address" VALUES('01a224c6-4541-7000-92ff-924db12fc146','visitor','site','anon:9T2enpGqhoQG92-hwJ0i4w','01a224c6-4541-7001-afe5-20fe6dcfe8da','',1795435200000000);
INSERT INTO "address" VALUES('01a224c6-4546-7001-b1f9-1c3c6239ed58','phone','','+6281234567890','01a224c6-4546-7002-974c-cea432394ee3','',1795435200000000);
CREATE TABLE alembic_version_core (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_core_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version_core" VALUES('0005');
CREATE TABLE alembic_version_livechat (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_livechat_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version_livechat" VALUES('l0001');
CREATE TABLE alias (
	kind TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	value TEXT NOT NULL, 
	address_id TEXT NOT NULL, created_at BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_alias PRIMARY KEY (kind, scope, value)
)
 WITHOUT ROWID

;
CREATE TABLE api_key (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	hash TEXT NOT NULL, 
	scopes TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	CONSTRAINT pk_api_key PRIMARY KEY (id), 
	CONSTRAINT uq_api_key_hash UNIQUE (hash)
);
CREATE TABLE attachment (
	id TEXT NOT NULL, 
	account TEXT DEFAULT '' NOT NULL, 
	message_id TEXT DEFAULT '' NOT NULL, 
	sha256 TEXT DEFAULT '' NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	media_type TEXT DEFAULT '' NOT NULL, 
	size INTEGER DEFAULT '0' NOT NULL, 
	cls TEXT DEFAULT '' NOT NULL, 
	handle TEXT DEFAULT '' NOT NULL, 
	error TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_attachment PRIMARY KEY (id)
);
CREATE TABLE attachment_chunk (
	sha256 TEXT NOT NULL, 
	n INTEGER NOT NULL, 
	bytes BLOB NOT NULL, at BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_attachment_chunk PRIMARY KEY (sha256, n)
);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	who TEXT DEFAULT '' NOT NULL, 
	what TEXT DEFAULT '' NOT NULL, 
	ids TEXT DEFAULT '{}' NOT NULL, 
	outcome TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
CREATE TABLE change (
	id INTEGER NOT NULL, 
	account TEXT NOT NULL, 
	change_id TEXT NOT NULL, 
	external_id TEXT NOT NULL, 
	message_id TEXT DEFAULT '' NOT NULL, 
	kind TEXT DEFAULT '' NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	blocks TEXT DEFAULT '[]' NOT NULL, 
	by_address TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	stored_at BIGINT NOT NULL, envelope_id TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_change PRIMARY KEY (id), 
	CONSTRAINT uq_change_account_change_id UNIQUE (account, change_id)
);
CREATE TABLE contact (
	id TEXT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_contact PRIMARY KEY (id)
);
INSERT INTO "contact" VALUES('01a224c6-4507-7001-b892-0e99f27be75d','',1795435200000000);
INSERT INTO "contact" VALUES('01a224c6-4541-7001-afe5-20fe6dcfe8da','',1795435200000000);
INSERT INTO "contact" VALUES('01a224c6-4546-7002-974c-cea432394ee3','',1795435200000000);
CREATE TABLE conversation (
	id TEXT NOT NULL, 
	account TEXT NOT NULL, 
	channel TEXT DEFAULT '' NOT NULL, 
	address_id TEXT NOT NULL, 
	thread TEXT DEFAULT '' NOT NULL, 
	contact_id TEXT NOT NULL, 
	last_n INTEGER DEFAULT '0' NOT NULL, 
	last_at BIGINT, 
	last_inbound_at BIGINT, 
	last_inbound TEXT DEFAULT '' NOT NULL, 
	last_text TEXT DEFAULT '' NOT NULL, 
	session TEXT DEFAULT 'none' NOT NULL, 
	session_at BIGINT, 
	session_reason TEXT DEFAULT '' NOT NULL, 
	session_since BIGINT, 
	handled INTEGER DEFAULT '0' NOT NULL, 
	reply_until BIGINT, 
	window_told INTEGER DEFAULT '0' NOT NULL, 
	unreachable_at BIGINT, 
	blocked_at BIGINT, 
	answer_code TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, continues TEXT DEFAULT '' NOT NULL, subject TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_conversation PRIMARY KEY (id), 
	CONSTRAINT uq_conversation_account_address_id_thread UNIQUE (account, address_id, thread)
)
 WITHOUT ROWID

;
INSERT INTO "conversation" VALUES('01a224c6-4507-7002-8c2f-3ca022c1ea71','site','livechat','01a224c6-4507-7000-8a19-9f55cd45b291','','01a224c6-4507-7001-b892-0e99f27be75d',3,1795435200000000,1795435200000000,'anon:xAF0Wb-JJFhdJjFeqp3fPA:a1','On Sundays too.','disconnected',1795435200000000,'',1795435200000000,1,NULL,0,NULL,NULL,'',1795435200000000,'','');
INSERT INTO "conversation" VALUES('01a224c6-4541-7002-81bb-d91564803b05','site','livechat','01a224c6-4541-7000-92ff-924db12fc146','','01a224c6-4541-7001-afe5-20fe6dcfe8da',1,1795435200000000,1795435200000000,'anon:9T2enpGqhoQG92-hwJ0i4w:b1','Do you sell lamps?','connected',1795435200000000,'',1795435200000000,0,NULL,0,NULL,NULL,'',1795435200000000,'','');
INSERT INTO "conversation" VALUES('01a224c6-4546-7003-8a7b-951adeeea648','shop','acme','01a224c6-4546-7001-b1f9-1c3c6239ed58','','01a224c6-4546-7002-974c-cea432394ee3',4,1795435200000000,1795435200000000,'m1','Before noon.','none',NULL,'',NULL,0,NULL,0,NULL,NULL,'',1795435200000000,'','');
CREATE TABLE delivery (
	id TEXT NOT NULL, 
	message_id TEXT NOT NULL, 
	conversation_id TEXT NOT NULL, 
	account TEXT NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	recipient TEXT DEFAULT '' NOT NULL, 
	generation INTEGER DEFAULT '0' NOT NULL, 
	part TEXT DEFAULT '' NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	external_id TEXT, 
	state INTEGER DEFAULT '0' NOT NULL, 
	state_at BIGINT NOT NULL, 
	problem_code TEXT DEFAULT '' NOT NULL, 
	problem_text TEXT DEFAULT '' NOT NULL, 
	problem_at BIGINT, 
	reason TEXT DEFAULT '' NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	open_since BIGINT, 
	open_wakes INTEGER DEFAULT '0' NOT NULL, 
	as_plain INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_delivery PRIMARY KEY (id), 
	CONSTRAINT uq_delivery_message_id_position_recipient_generation UNIQUE (message_id, position, recipient, generation)
);
INSERT INTO "delivery" VALUES('01a224c6-452b-7001-b670-e30349fd907e','01a224c6-452b-7000-a194-9719077cb591','01a224c6-4507-7002-8c2f-3ca022c1ea71','site',0,'',0,'{"text":"Until six."}','Until six.','01a224c6-452b-7001-b670-e30349fd907e',40,1795435200000000,'','',NULL,'',1,NULL,0,0);
INSERT INTO "delivery" VALUES('01a224c6-453c-7001-acb0-bd4971ae6663','01a224c6-453c-7000-97ed-c012d7dc38c3','01a224c6-4507-7002-8c2f-3ca022c1ea71','site',0,'',0,'{"text":"On Sundays too."}','On Sundays too.',NULL,0,1795435200000000,'','',NULL,'recipient_offline',0,NULL,1,0);
INSERT INTO "delivery" VALUES('01a224c6-454d-7001-9e7b-17ff17389738','01a224c6-454d-7000-9a48-97e8014ba906','01a224c6-4546-7003-8a7b-951adeeea648','shop',0,'',0,'{"text":"It left this morning."}','It left this morning.','p1',10,1795435200000000,'','',NULL,'',1,NULL,0,0);
INSERT INTO "delivery" VALUES('01a224c6-4558-7001-a615-46464e766ad9','01a224c6-4558-7000-bb49-63dafb5c9de3','01a224c6-4546-7003-8a7b-951adeeea648','shop',0,'',0,'{"text":"It comes tomorrow."}','It comes tomorrow.',NULL,0,1795435200000000,'','',NULL,'rate_limited',1,NULL,0,0);
INSERT INTO "delivery" VALUES('01a224c6-4559-7001-9bcc-df0385ab7e5c','01a224c6-4559-7000-8939-6dc6be69c3cf','01a224c6-4546-7003-8a7b-951adeeea648','shop',0,'',0,'{"text":"Before noon."}','Before noon.',NULL,0,1795435200000000,'','',NULL,'',0,NULL,0,0);
CREATE TABLE envelope (
	id TEXT NOT NULL, 
	account TEXT DEFAULT '' NOT NULL, 
	endpoint TEXT DEFAULT '' NOT NULL, 
	method TEXT DEFAULT '' NOT NULL, 
	path TEXT DEFAULT '' NOT NULL, 
	headers TEXT DEFAULT '' NOT NULL, 
	"query" TEXT DEFAULT '' NOT NULL, 
	body BLOB NOT NULL, 
	body_ref TEXT DEFAULT '' NOT NULL, 
	remote TEXT DEFAULT '' NOT NULL, 
	received_at BIGINT NOT NULL, 
	items INTEGER DEFAULT '0' NOT NULL, 
	unread TEXT DEFAULT '' NOT NULL, 
	replayed_at BIGINT, 
	CONSTRAINT pk_envelope PRIMARY KEY (id)
);
INSERT INTO "envelope" VALUES('01a224c6-4546-7000-8a9d-80b383b85b27','shop','shop','POST','','{"x-acme-signature":"sha256=038296242ff3ead5c63edf051e8d78e1c84d71ef82ee56ef9d79cd89e8404ed9"}','[]',X'7B226576656E7473223A205B7B226B696E64223A20226D657373616765222C20226964223A20226D31222C202274696D65223A20313739353433353230302C202266726F6D223A202236323831323334353637383930222C202274657874223A20225768657265206973206D792070617263656C3F227D5D7D','','127.0.0.1',1795435200000000,1,'',NULL);
CREATE TABLE exchange (
	id INTEGER NOT NULL, 
	account TEXT DEFAULT '' NOT NULL, 
	delivery_id TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	what TEXT DEFAULT '' NOT NULL, 
	request TEXT DEFAULT '' NOT NULL, 
	answer TEXT DEFAULT '' NOT NULL, 
	milliseconds INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_exchange PRIMARY KEY (id)
);
INSERT INTO "exchange" VALUES(1,'shop','01a224c6-454d-7001-9e7b-17ff17389738',1795435200000000,'http','POST http://127.0.0.1:46671/v1/messages
{"to": "+6281234567890", "text": "(21 characters)", "ref": "01a224c6-454d-7001-9e7b-17ff17389738"}','201 {"id": "p1"}',1);
INSERT INTO "exchange" VALUES(2,'shop','01a224c6-4558-7001-a615-46464e766ad9',1795435200000000,'http','POST http://127.0.0.1:46671/v1/messages
{"to": "+6281234567890", "text": "(18 characters)", "ref": "01a224c6-4558-7001-a615-46464e766ad9"}','429',0);
CREATE TABLE fact (
	seq INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	account TEXT DEFAULT '' NOT NULL, 
	conversation TEXT DEFAULT '' NOT NULL, 
	ids TEXT DEFAULT '{}' NOT NULL, 
	small TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_fact PRIMARY KEY (seq)
);
INSERT INTO "fact" VALUES(1,'account.starting',1795435200000000,'shop','','{}','{"state":"starting","was":null,"reason":null}');
INSERT INTO "fact" VALUES(2,'account.starting',1795435200000000,'site','','{}','{"state":"starting","was":null,"reason":null}');
INSERT INTO "fact" VALUES(3,'account.working',1795435200000000,'shop','','{}','{"state":"working","was":"starting","reason":null}');
INSERT INTO "fact" VALUES(4,'account.working',1795435200000000,'site','','{}','{"state":"working","was":"starting","reason":null}');
INSERT INTO "fact" VALUES(5,'conversation.opened',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{}','{}');
INSERT INTO "fact" VALUES(6,'session.opened',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{}','{"was":"none","reason":""}');
INSERT INTO "fact" VALUES(7,'message.received',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{"message":"01a224c6-450a-7000-9117-8d90ed48b240","contact":"01a224c6-4507-7001-b892-0e99f27be75d"}','{"n":1}');
INSERT INTO "fact" VALUES(8,'reply.queued',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{"message":"01a224c6-452b-7000-a194-9719077cb591"}','{"n":2,"parts":1,"held":null,"author":"agent:test","notice":null}');
INSERT INTO "fact" VALUES(9,'session.handled',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{}','{"author":"agent:test"}');
INSERT INTO "fact" VALUES(10,'delivery.changed',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{"message":"01a224c6-452b-7000-a194-9719077cb591","delivery":"01a224c6-452b-7001-b670-e30349fd907e"}','{"state":"sent","was":"queued","position":0}');
INSERT INTO "fact" VALUES(11,'delivery.changed',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{"message":"01a224c6-452b-7000-a194-9719077cb591","delivery":"01a224c6-452b-7001-b670-e30349fd907e"}','{"state":"read","was":"sent","position":0}');
INSERT INTO "fact" VALUES(12,'session.disconnected',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{}','{"was":"connected","reason":""}');
INSERT INTO "fact" VALUES(13,'reply.queued',1795435200000000,'site','01a224c6-4507-7002-8c2f-3ca022c1ea71','{"message":"01a224c6-453c-7000-97ed-c012d7dc38c3"}','{"n":3,"parts":1,"held":null,"author":"agent:test","notice":null}');
INSERT INTO "fact" VALUES(14,'conversation.opened',1795435200000000,'site','01a224c6-4541-7002-81bb-d91564803b05','{}','{}');
INSERT INTO "fact" VALUES(15,'session.opened',1795435200000000,'site','01a224c6-4541-7002-81bb-d91564803b05','{}','{"was":"none","reason":""}');
INSERT INTO "fact" VALUES(16,'message.received',1795435200000000,'site','01a224c6-4541-7002-81bb-d91564803b05','{"message":"01a224c6-4544-7000-9422-2edb17df5973","contact":"01a224c6-4541-7001-afe5-20fe6dcfe8da"}','{"n":1}');
INSERT INTO "fact" VALUES(17,'conversation.opened',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{}','{}');
INSERT INTO "fact" VALUES(18,'message.received',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{"message":"01a224c6-4546-7004-b44e-d46d0faf729e","contact":"01a224c6-4546-7002-974c-cea432394ee3"}','{"n":1}');
INSERT INTO "fact" VALUES(19,'reply.queued',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{"message":"01a224c6-454d-7000-9a48-97e8014ba906"}','{"n":2,"parts":1,"held":null,"author":"agent:test","notice":null}');
INSERT INTO "fact" VALUES(20,'delivery.changed',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{"message":"01a224c6-454d-7000-9a48-97e8014ba906","delivery":"01a224c6-454d-7001-9e7b-17ff17389738"}','{"state":"accepted","was":"queued","position":0}');
INSERT INTO "fact" VALUES(21,'reply.queued',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{"message":"01a224c6-4558-7000-bb49-63dafb5c9de3"}','{"n":3,"parts":1,"held":null,"author":"agent:test","notice":null}');
INSERT INTO "fact" VALUES(22,'reply.queued',1795435200000000,'shop','01a224c6-4546-7003-8a7b-951adeeea648','{"message":"01a224c6-4559-7000-8939-6dc6be69c3cf"}','{"n":4,"parts":1,"held":null,"author":"agent:test","notice":null}');
CREATE TABLE idempotency (
	principal TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	hash TEXT DEFAULT '' NOT NULL, 
	result TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (principal, "key")
);
CREATE TABLE keep (
	account TEXT NOT NULL, 
	name TEXT NOT NULL, 
	value TEXT DEFAULT '' NOT NULL, 
	sealed INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_keep PRIMARY KEY (account, name)
);
CREATE TABLE lane (
	id INTEGER NOT NULL, 
	grp TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	due BIGINT, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	held TEXT DEFAULT '' NOT NULL, 
	wakes INTEGER DEFAULT '0' NOT NULL, 
	last_error TEXT DEFAULT '' NOT NULL, 
	failing_since BIGINT, 
	CONSTRAINT pk_lane PRIMARY KEY (id), 
	CONSTRAINT uq_lane_grp_subject UNIQUE (grp, subject)
);
INSERT INTO "lane" VALUES(1,'send:site','01a224c6-4507-7002-8c2f-3ca022c1ea71',NULL,0,'recipient_offline',1,'',NULL);
INSERT INTO "lane" VALUES(2,'send:shop','01a224c6-4546-7003-8a7b-951adeeea648',1795438800000000,1,'',0,'HTTP 429',1795435200000000);
CREATE TABLE lease (
	name TEXT NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	fence BIGINT DEFAULT '0' NOT NULL, 
	until BIGINT NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (name)
);
CREATE TABLE livechat_connection (
	id TEXT NOT NULL, 
	daemon TEXT NOT NULL, 
	account TEXT NOT NULL, 
	visitor TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "livechat_connection" VALUES('c0073e3868104aec817bbe79dd2b8d72','01a224c6-44d9-7001-ab82-82a4401d419b','site','anon:9T2enpGqhoQG92-hwJ0i4w');
CREATE TABLE livechat_consent (
	id INTEGER NOT NULL, 
	account TEXT NOT NULL, 
	visitor TEXT NOT NULL, 
	version TEXT NOT NULL, 
	accepted INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	remote TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE livechat_text (
	account TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	version TEXT NOT NULL, 
	text TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	PRIMARY KEY (account, kind, version)
);
CREATE TABLE livechat_upload (
	attachment TEXT NOT NULL, 
	account TEXT NOT NULL, 
	visitor TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (attachment)
);
CREATE TABLE livechat_visitor (
	account TEXT NOT NULL, 
	visitor TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	formed INTEGER DEFAULT '0' NOT NULL, 
	notice TEXT DEFAULT '' NOT NULL, 
	consent TEXT DEFAULT '' NOT NULL, 
	accepted INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (account, visitor)
);
INSERT INTO "livechat_visitor" VALUES('site','anon:xAF0Wb-JJFhdJjFeqp3fPA',1795435200000000,'',0,'','',0);
INSERT INTO "livechat_visitor" VALUES('site','anon:9T2enpGqhoQG92-hwJ0i4w',1795435200000000,'',0,'','',0);
CREATE TABLE log_head (
	id INTEGER NOT NULL, 
	seq BIGINT NOT NULL, 
	CONSTRAINT pk_log_head PRIMARY KEY (id)
);
INSERT INTO "log_head" VALUES(1,22);
CREATE TABLE message (
	id TEXT NOT NULL, 
	conversation_id TEXT NOT NULL, 
	n INTEGER DEFAULT '0' NOT NULL, 
	account TEXT NOT NULL, 
	direction TEXT DEFAULT '' NOT NULL, 
	kind TEXT DEFAULT 'message' NOT NULL, 
	external_id TEXT, 
	envelope_id TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	stored_at BIGINT NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	blocks TEXT DEFAULT '[]' NOT NULL, 
	author TEXT DEFAULT '' NOT NULL, 
	reply_to TEXT DEFAULT '' NOT NULL, 
	grp TEXT DEFAULT '' NOT NULL, 
	subject TEXT DEFAULT '' NOT NULL, 
	notice TEXT DEFAULT '' NOT NULL, 
	policy TEXT DEFAULT '' NOT NULL, 
	degradations TEXT DEFAULT '[]' NOT NULL, automatic INTEGER DEFAULT '0' NOT NULL, known_as TEXT DEFAULT '' NOT NULL, cc TEXT DEFAULT '' NOT NULL, bcc TEXT DEFAULT '' NOT NULL, answer_at TEXT DEFAULT '' NOT NULL, original TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_message PRIMARY KEY (id), 
	CONSTRAINT uq_message_account_kind_external_id UNIQUE (account, kind, external_id), 
	CONSTRAINT uq_message_conversation_id_n UNIQUE (conversation_id, n)
)
 WITHOUT ROWID

;
INSERT INTO "message" VALUES('01a224c6-450a-7000-9117-8d90ed48b240','01a224c6-4507-7002-8c2f-3ca022c1ea71',1,'site','in','message','anon:xAF0Wb-JJFhdJjFeqp3fPA:a1','',1795435200000000,1795435200000000,'Are you open today?','[]','','','','','','','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-452b-7000-a194-9719077cb591','01a224c6-4507-7002-8c2f-3ca022c1ea71',2,'site','out','message',NULL,'',1795435200000000,1795435200000000,'Until six.','[{"type":"text","markdown":"Until six."}]','agent:test','','','','','reject','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-453c-7000-97ed-c012d7dc38c3','01a224c6-4507-7002-8c2f-3ca022c1ea71',3,'site','out','message',NULL,'',1795435200000000,1795435200000000,'On Sundays too.','[{"type":"text","markdown":"On Sundays too."}]','agent:test','','','','','reject','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-4544-7000-9422-2edb17df5973','01a224c6-4541-7002-81bb-d91564803b05',1,'site','in','message','anon:9T2enpGqhoQG92-hwJ0i4w:b1','',1795435200000000,1795435200000000,'Do you sell lamps?','[]','','','','','','','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-4546-7004-b44e-d46d0faf729e','01a224c6-4546-7003-8a7b-951adeeea648',1,'shop','in','message','m1','01a224c6-4546-7000-8a9d-80b383b85b27',1795435200000000,1795435200000000,'Where is my parcel?','[]','','','','','','','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-454d-7000-9a48-97e8014ba906','01a224c6-4546-7003-8a7b-951adeeea648',2,'shop','out','message',NULL,'',1795435200000000,1795435200000000,'It left this morning.','[{"type":"text","markdown":"It left this morning."}]','agent:test','','','','','reject','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-4558-7000-bb49-63dafb5c9de3','01a224c6-4546-7003-8a7b-951adeeea648',3,'shop','out','message',NULL,'',1795435200000000,1795435200000000,'It comes tomorrow.','[{"type":"text","markdown":"It comes tomorrow."}]','agent:test','','','','','reject','[]',0,'','','','','');
INSERT INTO "message" VALUES('01a224c6-4559-7000-8939-6dc6be69c3cf','01a224c6-4546-7003-8a7b-951adeeea648',4,'shop','out','message',NULL,'',1795435200000000,1795435200000000,'Before noon.','[{"type":"text","markdown":"Before noon."}]','agent:test','','','','','reject','[]',0,'','','','','');
CREATE TABLE meta (
	name TEXT NOT NULL, 
	value TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY (name)
);
CREATE TABLE notification (
	id TEXT NOT NULL, 
	recipient TEXT NOT NULL, 
	asker TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	kind TEXT DEFAULT '' NOT NULL, 
	title TEXT DEFAULT '' NOT NULL, 
	text TEXT DEFAULT '' NOT NULL, 
	actions TEXT DEFAULT '[]' NOT NULL, 
	conversation TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	answered_by TEXT DEFAULT '' NOT NULL, 
	answer TEXT DEFAULT '' NOT NULL, 
	answered_at BIGINT, 
	withdrawn_at BIGINT, 
	CONSTRAINT pk_notification PRIMARY KEY (id), 
	CONSTRAINT uq_notification_asker_key_recipient UNIQUE (asker, "key", recipient)
);
CREATE TABLE notification_medium (
	notification_id TEXT NOT NULL, 
	medium TEXT NOT NULL, 
	decision TEXT DEFAULT '' NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_notification_medium PRIMARY KEY (notification_id, medium)
);
CREATE TABLE parked (
	reader TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	conversation TEXT DEFAULT '' NOT NULL, 
	account TEXT DEFAULT '' NOT NULL, 
	error TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	CONSTRAINT pk_parked PRIMARY KEY (reader, seq)
);
CREATE TABLE reader (
	name TEXT NOT NULL, 
	cursor BIGINT NOT NULL, 
	state TEXT DEFAULT 'active' NOT NULL, 
	last_error TEXT DEFAULT '' NOT NULL, 
	error_at BIGINT, 
	moved_at BIGINT NOT NULL, down_since BIGINT, down_told INTEGER DEFAULT '0' NOT NULL, up_since BIGINT, 
	CONSTRAINT pk_reader PRIMARY KEY (name)
);
INSERT INTO "reader" VALUES('plugin:livechat',22,'active','',NULL,1795435200000000,NULL,0,NULL);
CREATE TABLE recipient (
	name TEXT NOT NULL, 
	email TEXT DEFAULT '' NOT NULL, 
	media TEXT DEFAULT '[]' NOT NULL, 
	CONSTRAINT pk_recipient PRIMARY KEY (name)
);
CREATE TABLE report (
	id INTEGER NOT NULL, 
	account TEXT NOT NULL, 
	external_id TEXT DEFAULT '' NOT NULL, 
	"key" TEXT DEFAULT '' NOT NULL, 
	state INTEGER DEFAULT '0' NOT NULL, 
	at BIGINT NOT NULL, 
	stored_at BIGINT NOT NULL, 
	code TEXT DEFAULT '' NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	recipient TEXT DEFAULT '' NOT NULL, 
	envelope_id TEXT DEFAULT '' NOT NULL, 
	delivery_id TEXT, 
	CONSTRAINT pk_report PRIMARY KEY (id)
);
INSERT INTO "report" VALUES(1,'site','','01a224c6-452b-7001-b670-e30349fd907e',40,1795435200000000,1795435200000000,'','','','','01a224c6-452b-7001-b670-e30349fd907e');
CREATE TABLE session (
	id TEXT NOT NULL, 
	principal TEXT NOT NULL, 
	scopes TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT NOT NULL, 
	CONSTRAINT pk_session PRIMARY KEY (id)
);
CREATE TABLE surface (
	id TEXT NOT NULL, 
	recipient TEXT NOT NULL, 
	kind TEXT DEFAULT '' NOT NULL, 
	state TEXT DEFAULT '' NOT NULL, 
	seen_at BIGINT NOT NULL, 
	CONSTRAINT pk_surface PRIMARY KEY (id)
);
CREATE TABLE task (
	id INTEGER NOT NULL, 
	lane_id BIGINT NOT NULL, 
	kind TEXT DEFAULT '' NOT NULL, 
	ref TEXT DEFAULT '' NOT NULL, 
	body TEXT DEFAULT '' NOT NULL, 
	created_at BIGINT NOT NULL, 
	CONSTRAINT pk_task PRIMARY KEY (id)
);
INSERT INTO "task" VALUES(1,1,'send','01a224c6-453c-7001-acb0-bd4971ae6663','',1795435200000000);
INSERT INTO "task" VALUES(2,2,'send','01a224c6-4558-7001-a615-46464e766ad9','',1795435200000000);
INSERT INTO "task" VALUES(3,2,'send','01a224c6-4559-7001-9bcc-df0385ab7e5c','',1795435200000000);
CREATE TABLE timer (
	plugin TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	due BIGINT NOT NULL, 
	subject TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_timer PRIMARY KEY (plugin, "key")
);
INSERT INTO "timer" VALUES('livechat','site anon:xAF0Wb-JJFhdJjFeqp3fPA',1795435380000000,'2026-11-23T12:00:00+00:00');
CREATE INDEX ix_idempotency_at ON idempotency (at);
CREATE INDEX ix_envelope_unread ON envelope (received_at) WHERE unread <> '';
CREATE INDEX ix_address_contact_id ON address (contact_id);
CREATE INDEX ix_alias_address_id ON alias (address_id);
CREATE INDEX ix_conversation_live ON conversation (handled, session_since, id) WHERE session IN ('connected', 'disconnected');
CREATE INDEX ix_conversation_reply_until ON conversation (reply_until) WHERE window_told < 2;
CREATE INDEX ix_conversation_last_at ON conversation (last_at);
CREATE INDEX ix_conversation_ended ON conversation (last_at, id) WHERE session = 'ended';
CREATE INDEX ix_conversation_address_id ON conversation (address_id);
CREATE INDEX ix_change_external_id ON change (account, external_id);
CREATE INDEX ix_change_message_id ON change (message_id);
CREATE INDEX ix_delivery_external_id ON delivery (account, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX ix_delivery_held ON delivery (conversation_id) WHERE state = 0;
CREATE INDEX ix_delivery_trouble ON delivery (state, state_at) WHERE state IN (5, 25);
CREATE INDEX ix_report_unmatched ON report (account, external_id) WHERE delivery_id IS NULL;
CREATE INDEX ix_report_delivery_id ON report (delivery_id);
CREATE INDEX ix_attachment_message_id ON attachment (message_id);
CREATE INDEX ix_parked_conversation ON parked (reader, conversation);
CREATE INDEX ix_lane_due ON lane (grp, due);
CREATE INDEX ix_task_lane_id ON task (lane_id, id);
CREATE INDEX ix_task_ref ON task (ref);
CREATE INDEX ix_timer_due ON timer (due);
CREATE INDEX ix_exchange_delivery_id ON exchange (delivery_id);
CREATE INDEX ix_exchange_at ON exchange (at);
CREATE INDEX ix_surface_recipient ON surface (recipient);
CREATE INDEX ix_notification_recipient ON notification (recipient, created_at);
CREATE INDEX ix_fact_conversation ON fact (conversation, seq) WHERE type <> 'message.received';
CREATE INDEX ix_attachment_sha256 ON attachment (sha256);
CREATE INDEX ix_envelope_body_ref ON envelope (body_ref) WHERE body_ref <> '';
CREATE INDEX ix_conversation_continues ON conversation (continues) WHERE continues <> '';
CREATE INDEX ix_message_known_as ON message (account, known_as) WHERE known_as <> '';
CREATE INDEX ix_message_automatic ON message (conversation_id, stored_at) WHERE automatic = 1 AND direction = 'out';
CREATE INDEX ix_message_named ON message (id) WHERE cc <> '' OR bcc <> '' OR answer_at <> '';
CREATE INDEX ix_livechat_connection_visitor ON livechat_connection (account, visitor);
CREATE INDEX ix_livechat_consent_visitor ON livechat_consent (account, visitor);
COMMIT;
