//go:build linux

package postgrestest

import (
	"fmt"
	"strings"
)

// Schema is the event log of a phone system, made by us after what is known of a version. Nobody publishes it.
type Schema struct {
	Name, DDL string
	insert    string // $ID $TYPE $EVENT $AT (timestamptz) $P1 to $P4
}

// Event is a row of an event log. Params are the address, the ban time in seconds, its end and the reason.
type Event struct {
	ID, Type, Event int
	At              string // as PostgreSQL reads a timestamptz
	Params          [4]string
}

// Schemas are what the versions 16, 18 and 20 may look like, and the least that can be read.
var Schemas = []Schema{
	{"16", // a time without zone, a list in the sixth column, the system's own address beside it
		`CREATE TABLE eventlog (id serial PRIMARY KEY, entrytype integer, eventid integer, timegenerated timestamp,
		 source varchar(50) DEFAULT '192.0.2.1', message text);`,
		`INSERT INTO eventlog VALUES ($ID, $TYPE, $EVENT, $AT, DEFAULT, concat_ws(',', $P1, $P2, $P3, $P4));`},
	{"18", // a time with zone, parameters, another key and order
		`CREATE TABLE eventlog (idevent bigint PRIMARY KEY, timegenerated timestamptz NOT NULL, entrytype smallint, eventid integer,
		 computer text DEFAULT 'pbx', params text[]);`,
		`INSERT INTO eventlog VALUES ($ID, $AT, $TYPE, $EVENT, DEFAULT, ARRAY[$P1, $P2, $P3, $P4]);`},
	{"20", // names in upper case in a schema of its own, an extra column, the key last, the sentence beside the parameters
		`CREATE SCHEMA pbx; CREATE TABLE pbx."EventLog" ("Parameters" varchar(200)[], "Extra" jsonb DEFAULT '{"a": 1}', "TimeGenerated" timestamptz(3),
		 "EventId" bigint, message text, "EntryType" integer, "Id" bigint PRIMARY KEY);`,
		`INSERT INTO pbx."EventLog" VALUES (ARRAY[$P1, $P2, $P3, $P4], DEFAULT, $AT, $EVENT,
		 'The IP ' || $P1 || ' has been blacklisted', $TYPE, $ID);`},
	{"sentence", // nothing but the sentence
		`CREATE TABLE event_log (entry_type text, event_id text, time_generated timestamp(3), message text, id integer PRIMARY KEY);`,
		`INSERT INTO event_log VALUES ($TYPE, $EVENT, $AT, 'The IP ' || $P1 || ' has been blacklisted for ' || $P2 || ' sec. Reason: ' || $P4, $ID);`},
}

// Insert returns the statement that writes e.
func (s Schema) Insert(e Event) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return strings.NewReplacer("$ID", fmt.Sprint(e.ID), "$TYPE", fmt.Sprint(e.Type), "$EVENT", fmt.Sprint(e.Event),
		"$AT", "timestamptz "+quote(e.At), "$P1", quote(e.Params[0]), "$P2", quote(e.Params[1]),
		"$P3", quote(e.Params[2]), "$P4", quote(e.Params[3])).Replace(s.insert)
}
