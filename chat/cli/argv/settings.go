package argv

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"parley/chat"
)

// Values returns the values of a repeatable flag, or those between commas in the environment.
func Values(c *cli.Context, flag, env string) []string {
	if values := c.StringSlice(flag); len(values) > 0 {
		return values
	}
	if values := os.Getenv(env); values != "" {
		return strings.Split(values, ",")
	}
	return nil
}

// Enabled returns what a variable of the environment says, true or false.
func Enabled(env string, fallback bool) (bool, error) {
	value := os.Getenv(env)
	if value == "" {
		return fallback, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, &chat.Error{Code: chat.CodeConfig, Detail: fmt.Sprintf("%s is %q: want true or false", env, value)}
	}
	return on, nil
}

// Choose sets a setting to the flag's value or the environment's, if it is one of those allowed.
func Choose(setting *string, flag, env string, allowed ...string) error {
	value := flag
	if value == "" {
		value = os.Getenv(env)
	}
	if value == "" {
		return nil
	}
	for _, v := range allowed {
		if v == value {
			*setting = value
			return nil
		}
	}
	return Usage(fmt.Sprintf("%q is none of %s (%s)", value, strings.Join(allowed, ", "), env), "parley up --help")
}
