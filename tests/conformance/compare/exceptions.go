package main

import (
	"fmt"
	"os"
	"strings"
)

// exception is a test that may pass under runc alone. One that is sometimes needed
// depends on a race that is not the shim's: the test may pass as well.
type exception struct {
	sometimes bool
	reason    string
}

// readExceptions reads the table of exceptions: a line for each test, of four fields
// with a tab between them: suite, test, `always` or `sometimes`, reason. Lines that
// begin with # are comments. It returns this suite's exceptions by their tests.
func readExceptions(file, suite string) (map[string]exception, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	exceptions, number := map[string]exception{}, 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 4 || fields[2] != "always" && fields[2] != "sometimes" || fields[3] == "" {
			return nil, fmt.Errorf("%s:%d: not suite, test, always or sometimes, and reason with a tab between them", file, number)
		}
		if fields[0] == suite {
			exceptions[fields[1]] = exception{sometimes: fields[2] == "sometimes", reason: fields[3]}
		}
	}
	return exceptions, nil
}
