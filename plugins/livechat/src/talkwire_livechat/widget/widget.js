const SETTINGS = null;
