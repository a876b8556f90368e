package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
)

// longest is how long a command may take, whatever the store does. A subcommand has its command's limit. What goes on
// for good, or as long as its input, has none: --watch, - and --from -.
var longest = map[string]time.Duration{
	"ban":         10 * time.Minute,
	"unban":       10 * time.Minute,
	"list":        10 * time.Minute,
	"allow":       2 * time.Minute,
	"host":        2 * time.Minute,
	"export":      10 * time.Minute,
	"sync-routes": 10 * time.Minute,
	"import-3cx":  10 * time.Minute,
	"status":      time.Minute,
	"pause":       time.Minute,
	"resume":      time.Minute,
	"prune":       time.Hour,
	"init":        24 * time.Hour,
	"setup":       time.Minute,
	"config":      time.Minute,
}

// limited ends an action that takes longer than its command may.
func limited(command string, action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		limit, bounded := longest[command]
		if !bounded || c.Bool("watch") || c.String("from") == "-" || slices.Contains(c.Args().Slice(), "-") {
			return action(c)
		}
		whole := c.Context
		ctx, cancel := context.WithTimeout(whole, limit)
		defer cancel()
		c.Context = ctx
		err := action(c)
		if err == nil || whole.Err() != nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return err
		}
		// What was under way names the deadline, or that it was cancelled, as if by a signal.
		late := fmt.Errorf("not done after %v, the longest that %s may take: %v", limit, commandName(c), err)
		if errors.Is(err, errSaid) {
			return kindError{errSaid, late}
		}
		return late
	}
}
