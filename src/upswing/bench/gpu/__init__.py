"""Speed on a GPU beside other loops on the same one, and the device's limits. See __main__.py."""
