// Command nmeter prints the time of day with milliseconds, as busybox's applet of this
// name does for `nmeter -d0 '%3t'`. Debian's busybox does not have it, and Kubernetes'
// tests of containers' lives take the times of their logs from it.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println(time.Now().UTC().Format("15:04:05.000"))
}
