"""Where incidents are led: pure incident logic, journal and channels brought together, without a screen."""
