// Command f2bc joins the fail2ban installations of many servers into one list of bans.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"f2bc/commands"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the command cleanly; with the handler gone, a second one ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(commands.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
