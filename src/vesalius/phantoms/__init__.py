"""Images with a known answer, public so that users can test their own methods on them."""
