"""What the helper gives to browsers: native-messaging manifests and the proxy auto-configuration."""
