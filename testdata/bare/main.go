// Command bare connects to a MySQL database and inserts one row: the least that a program which reports a ban must do.
package main

import (
	"database/sql"
	"log"
	"os"

	_ "github.com/go-sql-driver/mysql"
)

func main() {
	db, err := sql.Open("mysql", os.Args[1])
	if err == nil {
		_, err = db.Exec("INSERT INTO bare (a) VALUES (1)")
	}
	if err != nil {
		log.Fatal(err)
	}
}
