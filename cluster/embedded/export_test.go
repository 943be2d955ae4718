package embedded

// StartClusterFrom is [StartCluster] with the ports that free returns.
func StartClusterFrom(dir string, n int, free func(int) ([]int, error)) (*Broker, error) {
	return startCluster(dir, n, nil, free)
}

var FreePorts = freePorts
